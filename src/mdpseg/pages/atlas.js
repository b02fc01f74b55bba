const data = JSON.parse(document.getElementById('data').textContent);
const byId = (id) => document.getElementById(id);
const number = new Map(data.classes.map((c, i) => [c.class, i]));
const kinds = ['same as', 'part of', 'overlaps'];
const percent = (share) => `${Math.round(100 * share)} %`;
const colourOf = (name) => data.colours[data.datasets.indexOf(data.classes[number.get(name)].dataset)];
const state = { text: '', datasets: new Set(data.datasets), kinds: new Set(kinds), least: 0, picked: null };

// Elements are made from text alone: a class name is never markup.
function make(tag, attributes = {}, ...children) {
  const svg = ['svg', 'g', 'circle', 'rect', 'text', 'line', 'image', 'path', 'title'].includes(tag);
  const element = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function crops(name, count, big = false) {
  const shown = data.pictures[number.get(name)].slice(0, count);
  return make('div', { class: big ? 'crops big' : 'crops' }, ...shown.map((p) => make('img', {
    src: p.uri, alt: `${name}, in ${p.image}`, title: p.image, style: `border: 2px solid ${colourOf(name)}` })));
}

const key = (name) => make('span', { class: 'key', style: `background: ${colourOf(name)}`, 'aria-hidden': 'true' });
const link = (name) => make('button', { type: 'button', onclick: () => pick(name) }, name);
const matches = (name) => state.datasets.has(data.classes[number.get(name)].dataset)
  && name.toLowerCase().includes(state.text);
const relationShown = (r) => state.kinds.has(r.kind) && r.score >= state.least
  && state.datasets.has(data.classes[number.get(r.first)].dataset)
  && state.datasets.has(data.classes[number.get(r.second)].dataset)
  && (r.first.toLowerCase().includes(state.text) || r.second.toLowerCase().includes(state.text));

function pick(name) {
  state.picked = name;
  history.replaceState(null, '', `#${encodeURIComponent(name)}`);
  drawPanel();
  drawMap();
}

function sentence(r, name) {
  if (r.kind === 'part of') return r.first === name ? `a part of ${r.second}` : `${r.first} is a part of it`;
  return `${r.kind} ${r.first === name ? r.second : r.first}`;
}

function drawPanel() {
  const name = state.picked, entry = data.classes[number.get(name)], panel = byId('panel');
  panel.replaceChildren(make('h2', {}, key(name), name), crops(name, 3, true));
  const facts = [`${entry.regions} regions looked at`];
  if (entry.catch_all) facts.push('its dataset\'s catch-all: relations are not proposed');
  if (!entry.prototype) facts.push('no prototype: no pixel of it was met in the pretraining');
  if (entry.regions) facts.push(`${percent(entry.own_share)} of its pixels lie nearest to its own prototype in its dataset`);
  panel.append(make('p', { class: 'soft' }, `${facts.join('; ')}.`));
  const relations = data.relations.filter((r) => r.first === name || r.second === name);
  if (relations.length) {
    panel.append(make('h3', {}, 'Proposed'), make('ul', {}, ...relations.map((r) =>
      make('li', {}, `${sentence(r, name)} (score ${r.score.toFixed(2)})`))));
  }
  for (const u of data.unmatched.filter((u) => u.class === name)) {
    panel.append(make('p', {}, `${percent(u.share)} of it falls into ${u.catch_all}.`));
  }
  for (const dataset of data.datasets) {
    const near = data.nearest.filter((n) => n.class === name && data.classes[number.get(n.other)].dataset === dataset);
    if (!near.length) continue;
    panel.append(make('h3', {}, `Nearest in ${dataset}`), ...near.map((n) => make('div', { class: 'pair' },
      make('div', {}, make('p', {}, key(name), name), crops(name, 2)),
      make('div', {}, make('p', {}, key(n.other), link(n.other)), crops(n.other, 2),
        make('p', { class: 'soft' }, `similarity ${n.similarity.toFixed(2)}; ${n.rank === 1 && n.rank_back === 1
          ? 'each other\'s nearest' : `rank ${n.rank} from here, ${n.rank_back} from there`}; pixels there ${
          percent(n.forward)}, back ${percent(n.back)}`)))));
  }
  panel.scrollTop = 0;
}

function drawRelations() {
  const rows = data.relations.filter(relationShown);
  const cell = (name) => {
    const shown = data.pictures[number.get(name)].slice(0, 1).map((p) => make('img', { src: p.uri, alt: '' }));
    return make('td', {}, ...shown, ' ', key(name), link(name));
  };
  byId('relations').replaceChildren(...rows.map((r) => make('tr', {}, cell(r.first),
    make('td', {}, make('span', { class: 'tag' }, r.kind)), cell(r.second),
    make('td', { class: 'n' }, r.score.toFixed(2)), make('td', { class: 'n' }, percent(r.forward)),
    make('td', { class: 'n' }, percent(r.back)), make('td', { class: 'n' }, r.similarity.toFixed(2)))));
  const names = data.classes.map((c) => c.class).filter(matches);
  byId('all').replaceChildren(...names.map((name) => make('li', {}, make('button', {
    type: 'button', onclick: () => { pick(name); byId('panel').scrollIntoView({ block: 'nearest' }); } }, key(name), name))));
  byId('found').textContent = `${names.length} classes, ${rows.length} relations`;
}
