// A heat map of attention: one row for each token that looks, one column for each that is looked at.

import { el, put } from './dom.js';

const STRONGEST = 8;

// Small weights are most of what there is; the root makes them visible.
const shade = (weight) => Math.sqrt(Math.min(1, Math.max(0, weight)));

// A small picture of a head, without names.
export function thumbnail(weights) {
  const canvas = el('canvas', { class: 'thumbnail', width: weights.length, height: weights.length, 'aria-hidden': 'true' });
  paint(canvas.getContext('2d'), weights, 1, 0, 0);
  return canvas;
}

// `draw(weights, title)` shows a head; pointer and arrow keys read out a cell.
export function createHeatMap(labels) {
  const size = labels.length;
  const canvas = el('canvas', { class: 'heat', tabindex: '0', role: 'application', 'aria-roledescription': 'heat map' });
  const readout = el('output', { class: 'readout', 'aria-live': 'polite' });
  const strongest = el('ol', { class: 'strongest' });
  const box = el('div', { class: 'heat-box' }, canvas);
  const node = el(
    'div',
    { class: 'heat-map' },
    readout,
    box,
    el('div', { class: 'heat-pairs' }, el('h3', { class: 'side-title' }, 'Strongest pairs'), strongest),
  );
  let weights = [];
  let title = '';
  let cell = 0;
  let margin = { left: 0, top: 0 };
  let at = null;

  function draw(next, name) {
    [weights, title] = [next, name];
    render();
    readout.textContent = at ? reading() : 'Point at a cell, or move with the arrow keys. Rows look at columns.';
    canvas.setAttribute('aria-label', `${title}. ${size} by ${size} tokens. Arrow keys move over the cells.`);
    put(
      strongest,
      pairs(weights).map(({ from, to, weight }) =>
        el(
          'li',
          {},
          el(
            'button',
            { type: 'button', class: 'pair', onclick: () => go(from, to) },
            el('span', { dir: 'auto' }, labels[from]),
            el('span', { 'aria-hidden': 'true' }, ' → '),
            el('span', { class: 'unseen' }, ' looks at '),
            el('span', { dir: 'auto' }, labels[to]),
          ),
          el('span', { class: 'figure' }, weight.toFixed(3)),
        ),
      ),
    );
  }

  function render() {
    const room = Math.max(240, node.clientWidth || 600);
    const longest = Math.max(...labels.map((label) => label.length));
    const names = Math.min(92, 12 + 7 * longest);
    cell = Math.max(3, Math.min(32, Math.floor((room - names) / size)));
    const named = cell >= 9;
    margin = named ? { left: names, top: names } : { left: 2, top: 2 };
    const [width, height] = [margin.left + cell * size + 2, margin.top + cell * size + 2];
    const dense = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const pen = canvas.getContext('2d');
    pen.scale(dense, dense);
    const style = getComputedStyle(canvas);
    paint(pen, weights, cell, margin.left, margin.top, style.color);
    if (named) writeNames(pen, style);
    if (at) outline(pen, style);
  }

  function writeNames(pen, style) {
    pen.font = `${Math.min(12, cell - 1)}px ${style.fontFamily}`;
    pen.textBaseline = 'middle';
    labels.forEach((label, place) => {
      const text = label.length > 12 ? `${label.slice(0, 11)}…` : label;
      const isActive = at && (at.from === place || at.to === place);
      pen.fillStyle = isActive ? style.color : style.getPropertyValue('--muted');
      const middle = cell * place + cell / 2;
      pen.textAlign = 'right';
      pen.fillText(text, margin.left - 5, margin.top + middle);
      pen.save();
      pen.translate(margin.left + middle, margin.top - 5);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = 'left';
      pen.fillText(text, 0, 0);
      pen.restore();
    });
  }

  function outline(pen, style) {
    pen.strokeStyle = style.getPropertyValue('--ink');
    pen.lineWidth = 2;
    pen.strokeRect(margin.left + at.to * cell, margin.top + at.from * cell, cell, cell);
  }

  const reading = () => `“${labels[at.from]}” looks at “${labels[at.to]}” with weight ${weights[at.from][at.to].toFixed(3)}`;

  function go(from, to) {
    at = { from: Math.min(size - 1, Math.max(0, from)), to: Math.min(size - 1, Math.max(0, to)) };
    readout.textContent = reading();
    render();
  }

  canvas.addEventListener('pointermove', (event) => {
    const from = Math.floor((event.offsetY - margin.top) / cell);
    const to = Math.floor((event.offsetX - margin.left) / cell);
    if (from >= 0 && to >= 0 && from < size && to < size && (at?.from !== from || at?.to !== to)) go(from, to);
  });
  canvas.addEventListener('keydown', (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    if (at) go(at.from + step[0], at.to + step[1]);
    else go(0, 0);
  });
  // Its width is known once it is on the page, and may change.
  new ResizeObserver(() => {
    if (weights.length > 0) render();
  }).observe(node);
  return { node, draw };
}

function paint(pen, weights, cell, left, top, colour = null) {
  pen.fillStyle = colour ?? getComputedStyle(document.documentElement).getPropertyValue('--accent');
  const gap = cell > 6 ? 1 : 0;
  weights.forEach((row, from) =>
    row.forEach((weight, to) => {
      pen.globalAlpha = 0.05 + 0.95 * shade(weight);
      pen.fillRect(left + to * cell, top + from * cell, cell - gap, cell - gap);
    }),
  );
  pen.globalAlpha = 1;
}

function pairs(weights) {
  const all = weights.flatMap((row, from) => row.map((weight, to) => ({ from, to, weight })));
  return all.sort((a, b) => b.weight - a.weight || a.from - b.from || a.to - b.to).slice(0, STRONGEST);
}
