// Draws how a score came about: the tree of its arithmetic, each value with a bar beside it.
//
// The bars of a sum show what share of it each part has. Those of a product, and of anything else, show the values as they
// are, because factors have no share.

import { el, score } from './dom.js';

const OPEN_LEVELS = 2;

// `name = how`, where the label says how the value comes of those below.
function parts(label) {
  const cut = label.indexOf(' = ');
  return cut < 0 ? [label, ''] : [label.slice(0, cut), label.slice(cut + 3)];
}

// How a node's value comes of those below it.
export function operation(node) {
  const how = parts(node.label)[1];
  if (!node.children?.length) return 'leaf';
  if (how === 'product') return 'product';
  if (how.startsWith('sum over') || (how.includes(' + ') && !/[/·√(]/.test(how))) return 'sum';
  return 'other';
}

// Which list a part of the score belongs to, by its own words or by the part that it is in.
function listOf(label, inherited) {
  const name = parts(label)[0].toLowerCase();
  if (/lexical|bm25/.test(name)) return 'lexical';
  if (/sparse/.test(name)) return 'sparse';
  if (/late|maxsim|cross-encoder/.test(name)) return 'late';
  if (/dense|^cosine|mean cosine/.test(name)) return 'dense';
  return inherited;
}

export function explanationPanel(root, title) {
  return el(
    'section',
    { class: 'explain', 'aria-label': `How the score of ${title} came about` },
    summary(root),
    el('ul', { class: 'explain-tree' }, item(root, null, 'leaf', 'whole', 0)),
  );
}

// One bar for the whole score, with the parts that it is the sum of.
function summary(root) {
  let sum = root;
  while (sum.children?.length === 1) [sum] = sum.children;
  if (operation(sum) !== 'sum' || sum.children.some((child) => child.value < 0)) return null;
  const total = sum.children.reduce((all, child) => all + child.value, 0);
  if (!(total > 0)) return null;
  const named = sum.children.map((child) => ({ ...child, name: parts(child.label)[0], list: listOf(child.label, 'whole') }));
  const bar = named.map((child) =>
    el('span', {
      'data-list': child.list,
      style: { 'flex-grow': String(child.value / total) },
    }),
  );
  const key = named.map((child) =>
    el(
      'li',
      { 'data-list': child.list },
      el('span', { class: 'dot', 'aria-hidden': 'true' }),
      `${child.name} `,
      el('b', {}, score(child.value)),
      ` (${Math.round((100 * child.value) / total)} %)`,
    ),
  );
  return el(
    'div',
    { class: 'explain-sum' },
    el('div', { class: 'explain-stack', 'aria-hidden': 'true' }, bar),
    el('ul', {}, key),
  );
}

function item(node, siblings, within, inherited, level) {
  const list = level === 0 ? 'whole' : listOf(node.label, inherited);
  const op = operation(node);
  const row = [
    el('span', { class: 'explain-label' }, name(node)),
    el('span', { class: 'explain-bar', 'aria-hidden': 'true' }, bar(node, siblings, within, list)),
    el('span', { class: 'explain-value' }, score(node.value)),
  ];
  const attributes = { class: 'explain-node', 'data-op': op, 'data-value': String(node.value), 'data-within': within };
  if (op === 'leaf') return el('li', attributes, el('div', { class: 'explain-row' }, row));
  const children = node.children.map((child) => item(child, node.children, op, list, level + 1));
  return el(
    'li',
    attributes,
    el('details', { open: level < OPEN_LEVELS }, el('summary', { class: 'explain-row' }, row), el('ul', {}, children)),
  );
}

function name(node) {
  const [label, how] = parts(node.label);
  return how ? [`${label} `, el('span', { class: 'explain-how' }, `= ${how}`)] : label;
}

// Children of a sum are scaled to what they have together, others to 1 or to the largest beside them. Where some are negative
// the zero moves to the right, and those lie on its left.
function bar(node, siblings, within, list) {
  const values = (siblings ?? [node]).map((one) => one.value);
  const sum = values.reduce((all, value) => all + Math.abs(value), 0);
  const largest = Math.max(...values.map(Math.abs));
  const scale = within === 'sum' ? sum : Math.max(1, Math.abs(node.value) > 1 ? largest : 1);
  const share = scale > 0 ? Math.min(1, Math.abs(node.value) / scale) : 0;
  const below = values.filter((value) => value < 0).map((value) => -value / (scale || 1));
  const zero = within !== 'leaf' && below.length > 0 ? Math.min(0.5, Math.max(...below)) : 0;
  const room = node.value < 0 ? zero : 1 - zero;
  const width = node.value < 0 ? Math.min(share, room) : share * room;
  const from = node.value < 0 ? zero - width : zero;
  return el('span', {
    class: 'explain-fill',
    'data-list': node.value < 0 ? 'negative' : list,
    'data-factor': within === 'product' || within === 'other',
    style: { left: `${100 * from}%`, width: `${100 * width}%` },
  });
}
