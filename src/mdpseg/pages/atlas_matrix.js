function drawMatrix() {
  const { order, similarity, tree } = data.matrix, count = order.length;
  const size = Math.max(5, Math.min(16, Math.floor(900 / count))), whole = count * size;
  const style = getComputedStyle(document.documentElement);
  const colours = ['--low', '--high'].map((name) => style.getPropertyValue(name).trim())
    .map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  const canvas = make('canvas', { width: whole, height: whole, tabindex: 0, id: 'cells', role: 'img',
    'aria-label': `Similarity of ${count} by ${count} classes; arrow keys read it out cell by cell` });
  const pen = canvas.getContext('2d');
  similarity.forEach((row, i) => row.forEach((value, j) => {
    const part = Math.max(0, Math.min(1, value));
    pen.fillStyle = `rgb(${colours[0].map((low, c) => Math.round(low + (colours[1][c] - low) * part)).join(',')})`;
    pen.fillRect(j * size, i * size, size, size);
  }));

  const width = 90, branches = make('svg', { width, height: whole, 'aria-hidden': 'true' });
  const top = Math.max(...tree.map((knot) => knot.height), 1e-9);
  const at = order.map((_, i) => [(i + 0.5) * size, 0]);
  for (const knot of tree) {
    const [[y1, h1], [y2, h2]] = [at[knot.left], at[knot.right]];
    const x = (height) => width - (height / top) * (width - 4);
    branches.append(make('path', { d: `M${x(h1)} ${y1}H${x(knot.height)}V${y2}H${x(h2)}` }));
    at.push([(y1 + y2) / 2, knot.height]);
  }
  const labels = make('svg', { width: 190, height: whole, 'aria-hidden': 'true' });
  if (size >= 8) order.forEach((name, i) => {
    const label = make('text', { x: 16, y: (i + 0.5) * size + 4, 'font-size': Math.min(12, size) });
    label.textContent = name;
    labels.append(make('circle', { cx: 8, cy: (i + 0.5) * size, r: 4, fill: colourOf(name) }), label);
  });
  byId('matrix').replaceChildren(branches, canvas, labels);

  const cell = { i: 0, j: 0 };
  const tell = () => { byId('cell').textContent =
    `${order[cell.i]} and ${order[cell.j]}: ${similarity[cell.i][cell.j].toFixed(2)}`; };
  const inside = (value) => Math.max(0, Math.min(count - 1, value));
  canvas.addEventListener('pointermove', (event) => {
    const box = canvas.getBoundingClientRect();
    Object.assign(cell, { i: inside(Math.floor((event.clientY - box.y) / size)),
      j: inside(Math.floor((event.clientX - box.x) / size)) });
    tell();
  });
  canvas.addEventListener('click', () => pick(order[cell.i]));
  canvas.addEventListener('keydown', (event) => {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (event.key === 'Enter') pick(order[cell.i]);
    if (!(event.key in moves)) return;
    event.preventDefault();
    Object.assign(cell, { i: inside(cell.i + moves[event.key][0]), j: inside(cell.j + moves[event.key][1]) });
    tell();
  });
}
