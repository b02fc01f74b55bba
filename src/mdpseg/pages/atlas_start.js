function redraw() {
  drawRelations();
  drawMap();
}

function toggles(place, names, chosen, mark) {
  for (const name of names) {
    const box = make('input', { type: 'checkbox', onchange: () => {
      if (box.checked) chosen.add(name); else chosen.delete(name);
      redraw();
    } });
    box.checked = true;
    byId(place).append(make('label', {}, box, ' ', ...mark(name), name));
  }
}

toggles('datasets', data.datasets, state.datasets, (name) => [make('span', { class: 'key',
  style: `background: ${data.colours[data.datasets.indexOf(name)]}`, 'aria-hidden': 'true' })]);
toggles('kinds', kinds, state.kinds, () => []);
byId('search').addEventListener('input', (event) => { state.text = event.target.value.toLowerCase(); redraw(); });
byId('least').addEventListener('input', (event) => {
  state.least = Number(event.target.value);
  byId('least-shown').textContent = event.target.value;
  redraw();
});
if (data.unmatched.length) {
  byId('unmatched').append(make('h3', {}, 'Without a counterpart'), make('ul', {}, ...data.unmatched.map((u) =>
    make('li', {}, link(u.class), ` falls into ${u.catch_all} (${percent(u.share)} of its pixels)`))));
}
let wanted = '';
try { wanted = decodeURIComponent(location.hash.slice(1)); } catch { /* a hash that is no name */ }
state.picked = number.has(wanted) ? wanted : (data.relations[0]?.first ?? data.classes[0].class);
listenToMap();
drawPanel();
redraw();
drawMatrix();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawMatrix);
