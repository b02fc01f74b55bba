// Files as one ZIP, stored as they are: masks are PNG, and packed already.
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = table[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

// A record of 16-bit (two) and 32-bit (four) numbers, little end first.
function record(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [length]) => sum + length, 0)));
  let place = 0;
  for (const [length, value] of fields) {
    if (length === 2) view.setUint16(place, value, true); else view.setUint32(place, value, true);
    place += length;
  }
  return view.buffer;
}

export async function zip(entries) { // [[name, Blob]]
  const parts = [], directory = [];
  let place = 0, listed = 0;
  for (const [text, blob] of entries) {
    const name = new TextEncoder().encode(text), bytes = new Uint8Array(await blob.arrayBuffer());
    // version, UTF-8 names, stored, 1 January 1980, checksum, lengths, no extra field
    const common = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 33], [4, crc32(bytes)], [4, bytes.length], [4, bytes.length],
      [2, name.length], [2, 0]];
    const head = record([4, 0x04034b50], ...common);
    const entry = record([4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, place]);
    parts.push(head, name, bytes);
    directory.push(entry, name);
    place += head.byteLength + name.length + bytes.length;
    listed += entry.byteLength + name.length;
  }
  const end = record([4, 0x06054b50], [2, 0], [2, 0], [2, entries.length], [2, entries.length], [4, listed], [4, place], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: 'application/zip' });
}
