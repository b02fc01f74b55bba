// The picture: photograph, mask and marks above each other, and the cross.
import { byId, state } from './state.js';

export const cross = { x: 0, y: 0 };

export function colourTable(classes, everything = false) {
  const shown = (name) => (everything || !state.hidden.has(name)) && (state.only === null || everything || state.only === name);
  return classes.map(({ name, colour }) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16))
    .concat(shown(name) ? 255 : 0));
}

// The mask of an image in its classes' colours, on a canvas of its size.
export function paint(canvas, seen, everything = false) {
  const { width, height, data } = seen.ids;
  Object.assign(canvas, { width, height });
  // Four bytes at once, which a photograph's two million pixels need.
  const table = new Uint32Array(Uint8Array.from(colourTable(seen.classes, everything).flat()).buffer);
  const pixels = new ImageData(width, height), words = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < words.length; i += 1) words[i] = table[data[i]];
  canvas.getContext('2d').putImageData(pixels, 0, 0);
}

export function drawPicture() {
  const { seen, bitmap, marks, name } = state.current;
  const { width, height } = seen.ids;
  Object.assign(byId('photo'), { width, height });
  byId('photo').getContext('2d').drawImage(bitmap, 0, 0, width, height);
  drawMask();
  drawMarks();
  byId('picture').style.maxWidth = `calc(72vh * ${width / height})`;
  byId('picture').setAttribute('aria-label', `${name}, segmented`);
  byId('picture').dataset.taxonomy = seen.taxonomy;
  placeCross();
}

export function drawMask() {
  paint(byId('mask'), state.current.seen);
  byId('mask').style.opacity = state.opacity;
}

export function drawMarks(box = null) {
  const canvas = byId('marks'), { ids } = state.current.seen;
  Object.assign(canvas, { width: ids.width, height: ids.height });
  const pen = canvas.getContext('2d');
  if (state.current.marks) pen.drawImage(state.current.marks, 0, 0);
  if (!box) return;
  pen.fillStyle = '#ff2bd6';
  pen.fillRect(...box);
}

export function placeCross(shown = !byId('cross').hidden) {
  const { width, height } = state.current.seen.ids;
  cross.x = Math.max(0, Math.min(width - 1, cross.x));
  cross.y = Math.max(0, Math.min(height - 1, cross.y));
  Object.assign(byId('cross').style, { left: `${100 * (cross.x + 0.5) / width}%`, top: `${100 * (cross.y + 0.5) / height}%` });
  byId('cross').hidden = !shown;
}

export function centreCross() {
  const { width, height } = state.current.seen.ids;
  Object.assign(cross, { x: width >> 1, y: height >> 1 });
  byId('cross').hidden = true;
}

// Photograph and mask as they are seen, as a PNG.
export function overlay() {
  const canvas = document.createElement('canvas'), photo = byId('photo');
  Object.assign(canvas, { width: photo.width, height: photo.height });
  const pen = canvas.getContext('2d');
  pen.drawImage(photo, 0, 0);
  pen.globalAlpha = state.opacity;
  pen.drawImage(byId('mask'), 0, 0);
  return new Promise((done) => { canvas.toBlob(done, 'image/png'); });
}

let from = null; // where a stroke began

// Ends a stroke that is not finished, and shows the marks without it.
export function dropStroke() {
  from = null;
  drawMarks();
}

// Calls look(), or changes the marks of the current image and calls marked().
export function listen(look, marked) {
  const picture = byId('picture');
  const at = (event) => {
    const frame = picture.getBoundingClientRect(), { width, height } = state.current.seen.ids;
    return { x: Math.floor((event.clientX - frame.x) / frame.width * width),
      y: Math.floor((event.clientY - frame.y) / frame.height * height) };
  };
  const box = () => [Math.min(from.x, cross.x), Math.min(from.y, cross.y),
    Math.abs(cross.x - from.x) + 1, Math.abs(cross.y - from.y) + 1];

  function pen() {
    const { ids } = state.current.seen;
    if (!state.current.marks) {
      state.current.marks = document.createElement('canvas');
      Object.assign(state.current.marks, { width: ids.width, height: ids.height });
    }
    const made = state.current.marks.getContext('2d', { willReadFrequently: true });
    made.fillStyle = made.strokeStyle = '#ff2bd6';
    made.globalCompositeOperation = state.mode === 'erase' ? 'destination-out' : 'source-over';
    return made;
  }

  function stroke(start) {
    const made = pen(), longest = Math.max(state.current.seen.ids.width, state.current.seen.ids.height);
    Object.assign(made, { lineWidth: Math.max(1, Number(byId('size').value) * longest / 100), lineCap: 'round' });
    made.beginPath();
    made.moveTo(start.x + 0.5, start.y + 0.5);
    made.lineTo(cross.x + 0.5, cross.y + 0.5);
    made.stroke();
    made.beginPath(); // a line of no length is not drawn
    made.arc(cross.x + 0.5, cross.y + 0.5, made.lineWidth / 2, 0, 2 * Math.PI);
    made.fill();
  }

  picture.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || !state.current?.seen) return;
    Object.assign(cross, at(event));
    placeCross(true);
    if (state.mode === 'look') { look(); return; }
    picture.setPointerCapture(event.pointerId);
    from = { ...cross };
    if (state.mode !== 'box') stroke(from);
    drawMarks(state.mode === 'box' ? box() : null);
  });
  picture.addEventListener('pointermove', (event) => {
    if (!from) return;
    const before = { ...cross };
    Object.assign(cross, at(event));
    placeCross(true);
    if (state.mode !== 'box') stroke(before);
    drawMarks(state.mode === 'box' ? box() : null);
  });
  for (const kind of ['pointerup', 'pointercancel']) {
    picture.addEventListener(kind, () => {
      if (!from) return;
      if (state.mode === 'box') pen().fillRect(...box());
      from = null;
      drawMarks();
      marked();
    });
  }
  picture.addEventListener('keydown', (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!state.current?.seen || !(event.key in moves || event.key === 'Enter' || event.key === ' ')) return;
    event.preventDefault();
    if (event.key in moves) {
      const step = event.shiftKey ? 10 : 1;
      cross.x += step * moves[event.key][0];
      cross.y += step * moves[event.key][1];
      placeCross(true);
      if (from) drawMarks(box());
    } else if (state.mode === 'look') {
      look();
    } else if (state.mode === 'box' && !from) {
      from = { ...cross }; // the second Enter is the other corner
      drawMarks(box());
    } else {
      if (state.mode === 'box') pen().fillRect(...box());
      else stroke(cross);
      from = null;
      drawMarks();
      marked();
    }
  });
}
