// The page: images come in, one after the other is segmented, and what the visitor does is passed on.
import { Gone, ask, keepSession, segment } from './api.js';
import { drawIntro, drawLegend, drawNearest, drawOwn, drawThumbnails, forgetNearest, showAll } from './panels.js';
import { centreCross, cross, drawMask, drawPicture, dropStroke, listen, overlay, placeCross } from './picture.js';
import { byId, chosenTaxonomy, complain, make, state, tell } from './state.js';
import { zip } from './zip.js';

let changes = 0; // of what is asked for: taxonomy or own classes
let working = false;

const wanted = () => `${changes} ${chosenTaxonomy()}`;
const left = (image) => image.wanted !== wanted();
const plain = (name) => name.replace(/\.[^.]*$/, '');

function setInfo(info) {
  state.info = info;
  const datasets = info.taxonomies.filter((taxonomy) => !taxonomy.own).map((taxonomy) => taxonomy.name);
  byId('run').textContent = info.run;
  document.title = `${info.run} · mdpseg`;
  const count = info.taxonomies.reduce((sum, taxonomy) => sum + taxonomy.classes.length, 0);
  byId('about').textContent = info.can_add ? `${count} classes of ${datasets.join(', ')}.` : `${count} classes, fine-tuned.`;
  byId('terms').hidden = byId('nearest-card').hidden = byId('own-card').hidden = byId('modes').hidden = !info.can_add;
  if (!info.can_add) byId('keys').textContent = '';
  const options = datasets.map((name) => [name, name]);
  if (datasets.length > 1) options.push([datasets.join('+'), 'all of them']);
  if (!byId('taxonomy').options.length) {
    byId('taxonomy').append(...options.map(([value, text]) => make('option', { value }, text)));
    state.taxonomy = datasets[0];
  }
  drawIntro();
  drawOwn();
}

async function refreshInfo() {
  setInfo(await (await ask('classes')).json());
}

async function add(files) {
  const chosen = [...files]; // a copy: input and event forget theirs while we wait
  byId('files').value = '';
  try {
    await started;
    if (!state.info) await refreshInfo(); // the server may answer by now
  } catch (error) { complain(error); return; }
  complain('');
  const limit = state.info.limits.bytes - 2 ** 16; // the form takes some bytes, too
  for (const file of chosen) {
    if (file.size > limit) {
      complain(`${file.name} has ${Math.ceil(file.size / 2 ** 20)} MB, and at most ${limit >> 20} MB are taken.`);
      continue;
    }
    state.images.push({ name: file.name || 'pasted image', file });
  }
  byId('drop').classList.toggle('small', state.images.length > 0);
  byId('intro').hidden = state.images.length > 0;
  await work();
}

function drawImages() {
  drawThumbnails(choose);
  byId('save-all').hidden = state.images.filter((image) => image.seen).length < 2;
  byId('save-all').disabled = state.images.some((image) => image.running || left(image)) || !ofThisView().length;
}

// Those whose masks share the present list of classes; others are older, and failed when they were asked for again.
const ofThisView = () => state.images.filter((image) => image.seen && image.view === wanted());

// Segments what is not yet as it is wanted, the shown image first.
async function work() {
  drawImages();
  if (working) return;
  working = true;
  for (;;) {
    const image = state.current && left(state.current) ? state.current : state.images.find(left);
    if (!image) break;
    image.wanted = wanted();
    image.running = true;
    drawImages();
    if (image === state.current) tell('segmenting …');
    await segmentOne(image);
    image.running = false;
    drawImages();
    drawOwn();
  }
  working = false;
}

async function segmentOne(image) {
  const began = performance.now();
  try {
    const seen = await segment(image.file, chosenTaxonomy());
    image.bitmap ??= await createImageBitmap(image.file);
    Object.assign(image, { seen, view: image.wanted, error: null });
    if (!state.current) {
      state.current = image;
      centreCross();
    }
    if (image === state.current) {
      show();
      tell(`${image.seen.width} × ${image.seen.height} pixels, ${((performance.now() - began) / 1000).toFixed(1)} s`);
    }
  } catch (error) {
    if (error instanceof Gone) {
      changes += 1;
      await refreshInfo().catch(complain);
    }
    image.error = error.message;
    if (image === state.current) tell('');
    complain(`${image.name}: ${error.message}`);
  }
}

function choose(image) {
  if (image.error) complain(`${image.name}: ${image.error}`);
  if (!image.seen) return;
  dropStroke();
  state.current = image;
  centreCross();
  forgetNearest();
  tell('');
  show();
  drawImages();
}

function show() {
  byId('work').hidden = false;
  byId('title').textContent = state.current.name;
  drawLegend();
  drawPicture();
  drawOwn();
}

function askAgain() {
  changes += 1;
  work();
}

// A session that is gone takes its classes with it.
async function failed(error) {
  if (error instanceof Gone) {
    await refreshInfo().catch(complain);
    askAgain();
  }
  complain(error);
}

async function look() {
  const { seen, file } = state.current, { x, y } = cross;
  if (!state.info.can_add) return;
  const row = Math.floor((y + 0.5) * seen.height / seen.ids.height), column = Math.floor((x + 0.5) * seen.width / seen.ids.width);
  const seenAs = seen.classes[seen.ids.data[y * seen.ids.width + x]].name;
  try {
    const found = await (await ask('nearest', [['image', file], ['row', row], ['column', column]])).json();
    drawNearest(found, row, column, seenAs);
    complain('');
  } catch (error) { await failed(error); }
}

async function addClass(event) {
  event.preventDefault();
  const marked = state.images.filter((image) => image.marks);
  if (!marked.length) { complain('Mark the class first: choose Brush or Box below the picture.'); return; }
  const fields = [['name', byId('name').value], ['taxonomy', chosenTaxonomy()]];
  for (const image of marked) {
    const region = await new Promise((done) => { image.marks.toBlob(done, 'image/png'); });
    fields.push(['images', image.file], ['regions', region]);
  }
  try {
    const answer = await (await ask('classes', fields)).json();
    keepSession(answer.session);
    clearMarks();
    byId('name').value = '';
    byId('own').checked = state.withOwn = true;
    complain('');
    setInfo(answer);
    askAgain();
  } catch (error) {
    await failed(error);
  }
}

function clearMarks() {
  for (const image of state.images) image.marks = null;
  if (state.current) dropStroke();
  drawOwn();
}

async function forget() {
  await ask('classes', [], 'DELETE').catch(complain);
  keepSession(null);
  await refreshInfo().catch(complain);
  askAgain();
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  make('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

async function saveAll() {
  const names = new Set();
  const images = ofThisView();
  const entries = images.map((image) => {
    let name = plain(image.name);
    while (names.has(name)) name += '-again';
    names.add(name);
    return [`${name}.png`, image.seen.png];
  });
  const classes = images[0].seen.classes.map((c) => `${c.name}\n`).join('');
  save(await zip([...entries, ['classes.txt', new Blob([classes])]]), 'masks.zip');
}

listen(look, drawOwn);
byId('files').addEventListener('change', (event) => add(event.target.files));
document.addEventListener('paste', (event) => { if (event.clipboardData.files.length) add(event.clipboardData.files); });
document.addEventListener('dragover', (event) => { event.preventDefault(); byId('drop').classList.add('over'); });
for (const kind of ['dragleave', 'drop']) {
  document.addEventListener(kind, (event) => { event.preventDefault(); byId('drop').classList.remove('over'); });
}
document.addEventListener('drop', (event) => add(event.dataTransfer.files));
byId('taxonomy').addEventListener('change', (event) => { state.taxonomy = event.target.value; work(); });
byId('own').addEventListener('change', (event) => { state.withOwn = event.target.checked; work(); });
byId('opacity').addEventListener('input', (event) => { state.opacity = Number(event.target.value); drawMask(); });
byId('modes').addEventListener('change', (event) => {
  state.mode = event.target.value;
  dropStroke();
  byId('size-label').hidden = !['brush', 'erase'].includes(state.mode);
  byId('picture').classList.toggle('marking', state.mode !== 'look');
  placeCross();
});
byId('all').addEventListener('click', () => showAll(true));
byId('none').addEventListener('click', () => showAll(false));
byId('add').addEventListener('submit', addClass);
byId('clear').addEventListener('click', clearMarks);
byId('forget').addEventListener('click', forget);
byId('save-mask').addEventListener('click', () => save(state.current.seen.png, `${plain(state.current.name)}_mask.png`));
byId('save-overlay').addEventListener('click', async () => save(await overlay(), `${plain(state.current.name)}_overlay.png`));
byId('save-all').addEventListener('click', saveAll);
byId('save-weights').addEventListener('click', () => ask('weights').then((response) => response.blob())
  .then((blob) => save(blob, 'weights.safetensors')).catch(failed));

const started = refreshInfo().catch((error) => (error instanceof Gone ? refreshInfo() : Promise.reject(error))).catch(complain);
