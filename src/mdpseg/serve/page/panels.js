// What stands beside the picture: classes, nearest prototypes, classes of one's own; and the list of images above it.
import { drawMask, paint } from './picture.js';
import { byId, make, ownTaxonomy, state, swatch } from './state.js';

const percent = (share) => (share > 0 && share < 0.001 ? '< 0.1 %' : `${(100 * share).toFixed(1)} %`);

// What the page shows before there is an image: the classes of each taxonomy.
export function drawIntro() {
  byId('knows').replaceChildren(...state.info.taxonomies.map((taxonomy) => make('div', { class: 'card' },
    make('h3', {}, taxonomy.name || state.info.run), make('ul', { class: 'chips' }, ...taxonomy.classes.map(({ name, colour }) =>
      make('li', {}, swatch(colour), name))))));
}

export function drawLegend() {
  state.only = null; // the entry that the pointer was over is replaced
  const classes = [...state.current.seen.classes].sort((a, b) => b.share - a.share);
  const entry = ({ name, colour, share }) => {
    const box = make('input', { type: 'checkbox', onchange: () => {
      if (box.checked) state.hidden.delete(name); else state.hidden.add(name);
      drawMask();
    } });
    box.checked = !state.hidden.has(name);
    const only = (value) => () => { state.only = value; drawMask(); };
    return make('li', { onpointerenter: only(name), onpointerleave: only(null) },
      make('label', {}, box, swatch(colour), name), make('span', { class: 'n' }, percent(share)));
  };
  byId('legend').replaceChildren(...classes.filter((c) => c.share > 0).map(entry));
  const absent = classes.filter((c) => c.share === 0);
  byId('absent').hidden = absent.length === 0;
  byId('absent').querySelector('summary').textContent = `${absent.length} not in this image`;
  byId('absent').querySelector('ul').replaceChildren(...absent.map(({ name, colour }) =>
    make('li', {}, swatch(colour), name)));
}

export function showAll(shown) {
  for (const { name } of state.current.seen.classes) {
    if (shown) state.hidden.delete(name); else state.hidden.add(name);
  }
  drawLegend();
  drawMask();
}

export function drawNearest(found, row, column, seenAs) {
  const bars = found.flatMap(({ dataset, classes }) => [make('dt', {}, dataset),
    ...classes.slice(0, 3).map(({ name, similarity, colour }) => {
      const length = make('span', { class: 'length', colour });
      length.style.width = `${100 * Math.max(0, similarity)}%`;
      return make('dd', {}, make('span', {}, name), make('span', { class: 'track', 'aria-hidden': 'true' }, length),
        make('span', { class: 'n' }, similarity.toFixed(2)));
    })]);
  byId('nearest').replaceChildren(make('p', { class: 'soft' }, `Row ${row}, column ${column}: seen as ${seenAs}. Cosine of its `
    + 'embedding with each prototype:'), make('dl', { class: 'near' }, ...bars));
}

export function forgetNearest() {
  byId('nearest').replaceChildren(make('p', { class: 'soft' }, 'Click the picture.'));
}

export function drawOwn() {
  const own = ownTaxonomy(), segmented = state.images.filter((image) => image.seen);
  const isOwn = ({ name }, label) => name === label || name === `${own.name}/${label}`;
  byId('beside').hidden = byId('mine-buttons').hidden = !own;
  byId('save-weights').hidden = !state.info.can_download_weights;
  byId('mine').replaceChildren(...(own?.classes ?? []).map(({ name, colour }) => {
    const among = segmented.filter((image) => image.seen.classes.some((c) => isOwn(c, name)));
    const found = among.filter((image) => image.seen.classes.some((c) => isOwn(c, name) && c.share > 0));
    return make('li', {}, swatch(colour), make('span', {}, name), make('span', { class: 'n' },
      among.length ? `in ${found.length} of ${among.length} images` : ''));
  }));
  const marked = state.images.filter((image) => image.marks).length;
  byId('marked').textContent = marked ? `Marked in ${marked} ${marked === 1 ? 'image' : 'images'}.` : '';
}

export function drawThumbnails(choose) {
  const focused = [...byId('images').children].findIndex((item) => item.contains(document.activeElement));
  byId('images').replaceChildren(...state.images.map((image) => {
    if (!image.thumbnail || image.drawn !== image.seen) drawThumbnail(image);
    const said = image.error ? 'refused' : image.seen && !image.running ? 'done' : image.running ? 'running …' : 'waiting';
    return make('li', {}, make('button', { type: 'button', 'aria-current': String(image === state.current),
      onclick: () => choose(image) }, image.thumbnail, make('span', {}, image.name), make('span', { class: 'soft' }, said)));
  }));
  byId('images').children[focused]?.firstChild.focus();
}

// Once for each segmentation: the list is made anew at every click, and photographs are large.
function drawThumbnail(image) {
  const canvas = make('canvas', { width: 160, height: 96, 'aria-hidden': 'true' }), { bitmap, seen } = image;
  Object.assign(image, { thumbnail: canvas, drawn: seen });
  if (!seen) return;
  const factor = Math.min(canvas.width / bitmap.width, canvas.height / bitmap.height);
  const size = [bitmap.width * factor, bitmap.height * factor];
  Object.assign(canvas, { width: Math.max(1, size[0]), height: Math.max(1, size[1]) });
  const pen = canvas.getContext('2d');
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const mask = document.createElement('canvas');
  paint(mask, seen, true);
  pen.globalAlpha = 0.5;
  pen.drawImage(mask, 0, 0, canvas.width, canvas.height);
}

