const view = { zoom: 1, x: 0, y: 0 };  // pixels by which the zoomed map is moved

function places() {
  const svg = byId('map'), width = svg.clientWidth, height = svg.clientHeight;
  const there = data.classes.filter((c) => c.x !== null);
  const [xs, ys] = [there.map((c) => c.x), there.map((c) => c.y)];
  const span = (values) => Math.max(Math.max(...values) - Math.min(...values), 1e-9);
  const scale = Math.min((width - 110) / span(xs), (height - 110) / span(ys));
  const middle = (values) => (Math.max(...values) + Math.min(...values)) / 2;
  const [mx, my] = [middle(xs), middle(ys)];
  return new Map(there.map((c) => [c.class, [
    width / 2 + ((c.x - mx) * scale) * view.zoom + view.x,
    height / 2 + ((c.y - my) * scale) * view.zoom + view.y]]));
}

function drawMap() {
  const svg = byId('map'), side = svg.clientWidth < 600 ? 26 : 40, at = places();
  const active = document.activeElement?.getAttribute('data-class');
  svg.setAttribute('viewBox', `0 0 ${svg.clientWidth} ${svg.clientHeight}`);
  const lines = data.relations.filter((r) => relationShown(r) && at.has(r.first) && at.has(r.second)).map((r) => {
    const [[x1, y1], [x2, y2]] = [at.get(r.first), at.get(r.second)];
    return make('line', { x1, y1, x2, y2, class: state.picked === r.first || state.picked === r.second ? 'picked' : '' });
  });
  const nodes = [...at].map(([name, [x, y]]) => {
    const picture = data.pictures[number.get(name)][0], colour = colourOf(name), picked = state.picked === name;
    const node = make('g', { class: `class${picked ? ' picked' : ''}${matches(name) ? '' : ' faint'}`, role: 'button',
      tabindex: matches(name) ? 0 : -1, 'data-class': name, 'aria-pressed': picked, 'aria-label': name,
      transform: `translate(${x} ${y})`, onclick: () => pick(name),
      onkeydown: (event) => { if (['Enter', ' '].includes(event.key)) { event.preventDefault(); pick(name); } } });
    if (picture) node.append(make('image', { href: picture.uri, x: -side / 2, y: -side / 2, width: side, height: side }));
    node.append(make('rect', { class: 'frame', x: -side / 2, y: -side / 2, width: side, height: side, rx: 3,
      fill: picture ? 'none' : colour, 'pointer-events': 'all', stroke: colour, 'stroke-width': 3 }));
    const label = make('text', { y: side / 2 + 12, 'text-anchor': 'middle' });
    label.textContent = data.classes[number.get(name)].class.slice(data.classes[number.get(name)].dataset.length + 1);
    node.append(make('title', {}, name), label);
    return node;
  });
  nodes.sort((a, b) => a.classList.contains('picked') - b.classList.contains('picked'));
  svg.replaceChildren(...lines, ...nodes);
  svg.dataset.zoom = view.zoom.toFixed(3);
  if (active) [...svg.querySelectorAll('g.class')].find((g) => g.dataset.class === active)?.focus();
}

function zoomBy(factor, x = 0, y = 0) {  // x, y: what stays in its place, from the middle
  const zoom = Math.min(40, Math.max(0.5, view.zoom * factor)), ratio = zoom / view.zoom;
  Object.assign(view, { zoom, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio });
  drawMap();
}

function showAll() {
  Object.assign(view, { zoom: 1, x: 0, y: 0 });
  drawMap();
}

function listenToMap() {
  const svg = byId('map');
  svg.addEventListener('wheel', (event) => {
    event.preventDefault();
    const box = svg.getBoundingClientRect();
    zoomBy(Math.exp(-event.deltaY / 400), event.clientX - box.x - box.width / 2, event.clientY - box.y - box.height / 2);
  }, { passive: false });
  let held = null;
  svg.addEventListener('pointerdown', (event) => { held = [event.clientX, event.clientY]; });
  window.addEventListener('pointermove', (event) => {
    if (!held) return;
    view.x += event.clientX - held[0];
    view.y += event.clientY - held[1];
    if (event.clientX !== held[0] || event.clientY !== held[1]) drawMap();
    held = [event.clientX, event.clientY];
  });
  for (const end of ['pointerup', 'pointercancel']) window.addEventListener(end, () => { held = null; });
  svg.addEventListener('keydown', (event) => {
    const moves = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
    if (event.key in moves) { view.x += moves[event.key][0]; view.y += moves[event.key][1]; drawMap(); }
    else if (event.key === '+' || event.key === '=') zoomBy(1.4);
    else if (event.key === '-') zoomBy(1 / 1.4);
    else if (event.key === '0') showAll();
    else return;
    event.preventDefault();
  });
  byId('zoom-in').addEventListener('click', () => zoomBy(1.4));
  byId('zoom-out').addEventListener('click', () => zoomBy(1 / 1.4));
  byId('zoom-all').addEventListener('click', showAll);
  new ResizeObserver(drawMap).observe(svg);
}
