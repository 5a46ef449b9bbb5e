// Builds elements. Children that are text become text nodes, so that nothing a server says is ever read as markup.

const SVG = 'http://www.w3.org/2000/svg';

// An element with attributes and children. `onNAME` adds a listener, `style` sets properties one by one (a style attribute
// would be refused by the content security policy), and what is null, undefined or false is left out.
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// The same for SVG.
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') node.addEventListener(name.slice(2), value);
    else if (name === 'style') {
      for (const [property, setting] of Object.entries(value)) node.style.setProperty(property, setting);
    } else node.setAttribute(name, value === true ? '' : value);
  }
  const present = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  node.append(...present);
  return node;
}

// Replaces what a node holds.
export function put(node, ...children) {
  node.replaceChildren();
  return fill(node, {}, children);
}

export function byId(id) {
  return document.getElementById(id);
}

// Calls `run` once nothing has called for `wait_ms`.
export function debounced(wait_ms, run) {
  let timer = 0;
  const later = (...given) => {
    clearTimeout(timer);
    timer = setTimeout(run, wait_ms, ...given);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}

const whole = new Intl.NumberFormat('en');

export function count(value) {
  return value === null || value === undefined ? '–' : whole.format(value);
}

// "1 document", "2 documents".
export function counted(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

// A score to about three figures that matter.
export function score(value) {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(1).replaceAll('-', '−');
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return value.toFixed(digits).replace('-', '−');
}

export function milliseconds(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  if (value >= 1000) return `${(value / 1000).toFixed(value >= 10000 ? 0 : 1)} s`;
  return `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ms`;
}

export function bytes(value) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let size = value ?? 0;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? size.toFixed(0) : size.toFixed(1)} ${units[unit]}`;
}

export function percent(share) {
  return `${Math.round(100 * share)} %`;
}
