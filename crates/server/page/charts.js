// Charts as SVG, each with a sentence for those who do not see it and the numbers as a table.

import { count, el, milliseconds, percent, svg } from './dom.js';

const WIDTH = 360;
const HEIGHT = 178;
const LEFT = 34;
const BOTTOM = 34;
const TOP = 46;

// Bars of buckets `{label, count}`. `marks` are values `{label, value}` in the unit of `upto` of the buckets; `trim` leaves
// out empty buckets at both ends.
export function histogram(given, { name, unit, axis, marks = [], trim = false }) {
  const buckets = trim ? trimmed(given) : given;
  const most = Math.max(1, ...buckets.map((bucket) => bucket.count));
  const ceiling = niceCeiling(most);
  const top = marks.length > 0 ? TOP : 12;
  const plot = { width: WIDTH - LEFT - 6, height: HEIGHT - BOTTOM - top };
  const step = plot.width / buckets.length;
  const y = (value) => top + plot.height * (1 - value / ceiling);
  const every = Math.ceil(buckets.length / Math.floor(plot.width / 34));
  const largest = buckets.reduce((best, bucket) => (bucket.count > best.count ? bucket : best), buckets[0]);
  const chart = svg('svg', {
    class: 'chart',
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: 'img',
    'aria-label': `${name}: most ${unit}, ${count(largest.count)}, are in the bucket ${axis} ${largest.label}`,
  });
  for (const tick of [...new Set([0, ceiling / 2, ceiling])].filter(Number.isInteger)) {
    chart.append(
      svg('line', { class: 'grid', x1: LEFT, x2: WIDTH - 6, y1: y(tick), y2: y(tick) }),
      svg('text', { class: 'tick', x: LEFT - 6, y: y(tick) + 4, 'text-anchor': 'end' }, count(tick)),
    );
  }
  buckets.forEach((bucket, place) => {
    const x = LEFT + place * step;
    const height = bucket.count > 0 ? Math.max(1.5, plot.height * (bucket.count / ceiling)) : 0;
    const wide = Math.min(44, Math.max(1, step - 3));
    chart.append(
      svg(
        'rect',
        {
          class: 'bar',
          x: x + (step - wide) / 2,
          width: wide,
          y: top + plot.height - height,
          height,
          rx: Math.min(2, height / 2),
        },
        svg('title', {}, `${axis} ${bucket.label}: ${count(bucket.count)} ${unit}`),
      ),
    );
    if (place % every === 0 || buckets.length < 8) {
      chart.append(
        svg('text', { class: 'tick', x: x + step / 2, y: HEIGHT - BOTTOM + 15, 'text-anchor': 'middle' }, bucket.label),
      );
    }
  });
  chart.append(svg('text', { class: 'axis', x: LEFT + plot.width / 2, y: HEIGHT - 3, 'text-anchor': 'middle' }, axis));
  drawMarks(chart, buckets, marks, { step, top, height: plot.height });
  return el('figure', { class: 'figure-chart' }, chart, table(buckets, { name, axis, unit }));
}

// Lines at values, where they lie within their bucket; names that would touch move to a line of their own.
function drawMarks(chart, buckets, marks, { step, top, height }) {
  const lastEnd = [];
  for (const mark of marks.filter((one) => Number.isFinite(one.value))) {
    const x = LEFT + step * placeOf(mark.value, buckets);
    const text = `${mark.label} ${milliseconds(mark.value)}`;
    const wide = 6 * text.length;
    const from = Math.min(Math.max(LEFT, x - wide / 2), WIDTH - wide);
    let row = lastEnd.findIndex((end) => end < from);
    if (row < 0) row = lastEnd.length;
    lastEnd[row] = from + wide + 4;
    const y = 10 + 13 * Math.min(row, 2);
    chart.append(
      svg('line', { class: 'mark-line', x1: x, x2: x, y1: top - 6, y2: top + height }),
      svg('text', { class: 'mark-text', x: from + wide / 2, y, 'text-anchor': 'middle' }, text),
    );
  }
}

function placeOf(value, buckets) {
  let low = 0;
  for (let place = 0; place < buckets.length; place += 1) {
    const high = buckets[place].upto ?? Infinity;
    if (value <= high) return place + (Number.isFinite(high) && high > low ? Math.max(0, value - low) / (high - low) : 0.5);
    low = high;
  }
  return buckets.length;
}

function trimmed(buckets) {
  const filled = buckets.map((bucket) => bucket.count > 0);
  const first = Math.max(0, filled.indexOf(true) - 1);
  const last = Math.min(buckets.length, filled.lastIndexOf(true) + 2);
  return first < last ? buckets.slice(first, last) : buckets;
}

function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 4, 6, 8, 10].find((factor) => factor * power >= value);
  return Math.max(2, step * power);
}

function table(buckets, { name, axis, unit }) {
  return el(
    'details',
    { class: 'numbers-table', 'data-name': name },
    el('summary', {}, 'Numbers'),
    el(
      'table',
      {},
      el('caption', { class: 'unseen' }, name),
      el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, axis), el('th', { scope: 'col', class: 'figure' }, unit))),
      el(
        'tbody',
        {},
        buckets.map((bucket) =>
          el('tr', {}, el('th', { scope: 'row' }, bucket.label), el('td', { class: 'figure' }, count(bucket.count))),
        ),
      ),
    ),
  );
}

// Half a circle that fills with a share; null draws it empty.
export function gauge(share, { name }) {
  const radius = 62;
  const length = Math.PI * radius;
  const arc = `M 18 80 A ${radius} ${radius} 0 0 1 142 80`;
  const text = share === null ? 'exact' : `${(100 * share).toFixed(share < 1 && share > 0.9 ? 1 : 0)} %`;
  return svg(
    'svg',
    {
      class: 'gauge',
      viewBox: '0 0 160 92',
      role: 'img',
      'data-share': share === null ? 'none' : String(share),
      'aria-label': share === null ? `${name}: there is no graph, searches are exact` : `${name}: ${percent(share)}`,
    },
    svg('path', { class: 'gauge-track', d: arc }),
    share === null
      ? null
      : svg('path', {
          class: 'gauge-fill',
          d: arc,
          'stroke-dasharray': `${length * Math.min(1, Math.max(0, share))} ${length}`,
        }),
    svg('text', { class: 'gauge-value', x: 80, y: 74, 'text-anchor': 'middle' }, text),
    svg('text', { class: 'tick', x: 80, y: 89, 'text-anchor': 'middle' }, share === null ? 'no graph' : 'recall@10'),
  );
}

// One bar of parts `{label, value, text, list}`, with a key below.
export function shares(parts, name) {
  const total = parts.reduce((sum, part) => sum + part.value, 0) || 1;
  const chart = svg('svg', {
    class: 'stack',
    viewBox: '0 0 360 14',
    preserveAspectRatio: 'none',
    role: 'img',
    'aria-label': `${name}: ${parts.map((part) => `${part.label} ${part.text}`).join(', ')}`,
  });
  let x = 0;
  for (const part of parts) {
    const width = (360 * part.value) / total;
    chart.append(
      svg(
        'rect',
        { 'data-list': part.list, x, width: Math.max(1, width - 1), y: 0, height: 14 },
        svg('title', {}, `${part.label}: ${part.text}`),
      ),
    );
    x += width;
  }
  return el(
    'figure',
    { class: 'figure-chart' },
    chart,
    el(
      'ul',
      { class: 'key' },
      parts.map((part) =>
        el(
          'li',
          { 'data-list': part.list },
          el('span', { class: 'dot', 'aria-hidden': 'true' }),
          `${part.label} `,
          el('b', {}, part.text),
          ` ${percent(part.value / total)}`,
        ),
      ),
    ),
  );
}
