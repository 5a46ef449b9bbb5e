// The status of a collection: how much there is, how long texts and answers are, and whether the graph finds what it should.

import * as api from './api.js';
import { byId, bytes, count, counted, el, milliseconds, percent, put } from './dom.js';
import { gauge, histogram, shares } from './charts.js';
import { trouble } from './trouble.js';

const REFRESH_MS = 4000;

export function createStatus(context) {
  const view = byId('view-status');
  const ask = api.newest();
  let timer = 0;
  let drawn = '';
  let isShown = false;

  document.addEventListener('visibilitychange', () => {
    if (isShown && !document.hidden) refresh();
  });
  let width = 0;
  new ResizeObserver(() => {
    if (isShown && Math.abs(view.clientWidth - width) > 8 && drawn) {
      const { collections, info } = JSON.parse(drawn);
      draw(collections, info);
    }
  }).observe(view);

  async function refresh() {
    clearTimeout(timer);
    try {
      const name = context.info.name;
      const answer = await ask(async (signal) => {
        const [{ collections }, info] = await Promise.all([api.collections(signal), api.collection(name, signal)]);
        return { collections, info };
      });
      if (answer === api.DROPPED || !isShown) return;
      const now = JSON.stringify(answer);
      if (now !== drawn) draw(answer.collections, answer.info);
      drawn = now;
    } catch (error) {
      if (!isShown) return;
      drawn = '';
      put(view, heading('Status'), trouble(error, refresh));
    }
    if (isShown && !document.hidden) timer = setTimeout(refresh, REFRESH_MS);
  }

  // Tables that were opened stay open, and what has the focus keeps it.
  function draw(collections, info) {
    width = view.clientWidth;
    const open = [...view.querySelectorAll('details[open]')].map((one) => one.dataset.name);
    const focused = document.activeElement?.closest('#view-status [data-name]')?.dataset.name;
    put(
      view,
      heading(info.name),
      info.status
        ? [
            numbers(info),
            el(
              'div',
              { class: 'cards' },
              lengthCards(info),
              latencyCard(info),
              graphCard(info),
              sizeCard(info),
              modelCard(info),
            ),
            fieldsCard(info),
          ]
        : null,
      collections.length > 1 ? others(collections, info.name, context.store) : null,
    );
    for (const name of open) {
      const details = view.querySelector(`details[data-name="${CSS.escape(name)}"]`);
      if (details) details.open = true;
    }
    if (focused)
      view.querySelector(`details[data-name="${CSS.escape(focused)}"] summary, a[data-name="${CSS.escape(focused)}"]`)?.focus();
  }

  return {
    update(_state, info) {
      isShown = true;
      if (drawn && JSON.parse(drawn).info.name !== info.name) drawn = '';
      if (!drawn) draw(context.collections, info);
      refresh();
    },
    hide() {
      isShown = false;
      clearTimeout(timer);
      ask.cancel();
    },
  };
}

const heading = (title) => el('h1', { id: 'status-heading', class: 'page-title' }, title);

function numbers(info) {
  const { status } = info;
  const rows = [
    ['documents', count(status.documents)],
    ['passages', count(status.chunks)],
    ['tokens', info.lengths?.tokens === undefined ? '–' : count(info.lengths.tokens)],
    ['on disk', bytes(diskBytes(status).reduce((sum, [, size]) => sum + size, 0))],
    ['commit', count(status.generation)],
  ];
  return el(
    'dl',
    { class: 'numbers' },
    rows.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))),
  );
}

function card(title, ...content) {
  return el('section', { class: 'card' }, el('h2', {}, title), content);
}

const none = (text) => el('p', { class: 'quiet' }, text);

function lengthCards(info) {
  const { lengths } = info;
  if (!lengths) return null;
  const sample = lengths.sampled ? ` Counted over ${count(lengths.sampled)} documents.` : '';
  const documents = (lengths.documents ?? []).map((one) => ({ label: upTo(one.upto_tokens), count: one.count }));
  const passages = (lengths.chunks_per_document ?? []).map((one) => ({ label: upTo(one.upto), count: one.count }));
  return [
    card(
      'Length of documents',
      documents.length > 0
        ? histogram(documents, { name: 'Length of documents', unit: 'documents', axis: 'tokens, up to', trim: true })
        : none('No documents yet.'),
      none(`Tokens of the model.${sample}`),
    ),
    card(
      'Passages of a document',
      passages.length > 0
        ? histogram(passages, { name: 'Passages of a document', unit: 'documents', axis: 'passages, up to', trim: true })
        : none('No documents yet.'),
      info.model
        ? none(`Windows of ${count(info.model.window_tokens)} tokens that share ${count(info.model.overlap_tokens)}.`)
        : null,
    ),
  ];
}

const upTo = (bound) => (bound === null || bound === undefined ? 'more' : short(bound));
const short = (value) => (value >= 10000 ? `${Math.round(value / 1000)}k` : String(value));

function latencyCard(info) {
  const search = info.latency?.search;
  if (!search?.count) return card('Time of a search', none('Nothing has been asked since the server started.'));
  const buckets = search.buckets.map((one) => ({ label: upTo(one.upto_ms), count: one.count, upto: one.upto_ms }));
  const marks = [
    ['p50', search.p50_ms],
    ['p95', search.p95_ms],
    ['p99', search.p99_ms],
  ].map(([label, value]) => ({ label, value }));
  return card(
    'Time of a search',
    histogram(buckets, { name: 'Time of a search', unit: 'searches', axis: 'milliseconds, up to', marks, trim: true }),
    el(
      'dl',
      { class: 'percentiles' },
      marks.map((mark) => el('div', {}, el('dt', {}, mark.label), el('dd', {}, milliseconds(mark.value)))),
    ),
    none(
      `${counted(search.count, 'search', 'searches')} since the server started. Half took p50 or less; one in a hundred took more than p99.`,
    ),
  );
}

function graphCard(info) {
  const { status } = info;
  const recall = status['graph_recall@10'];
  if (recall === undefined || recall === null) {
    return card(
      'Graph',
      gauge(null, { name: 'Recall of the graph' }),
      none('No graph yet: exact scan. Every passage is compared, and nothing is missed. Larger segments get a graph.'),
    );
  }
  return card(
    'Graph',
    gauge(recall, { name: 'Recall of the graph' }),
    none(
      `The graph finds ${percent(recall)} of the ten nearest passages that comparing all of them would find, measured when it was built. ` +
        `It holds ${count(status.graph_rows)} of ${count(status.dense_rows)} vectors.`,
    ),
  );
}

function diskBytes(status) {
  return [
    ['words', status.lexical_bytes, 'lexical'],
    ['vectors', status.dense_bytes, 'dense'],
    ['token rows', status.token_bytes, 'late'],
  ].filter(([, size]) => size > 0);
}

function sizeCard(info) {
  const { status } = info;
  const rows = [
    ['word segments', count(status.lexical_segments)],
    ['vector segments', count(status.dense_segments)],
    ['vectors', count(status.dense_rows)],
    ['deleted vectors', count(status.deleted_rows)],
    ['token rows', status.token_rows ? count(status.token_rows) : 'none'],
    ['format', status.format],
  ];
  const sizes = diskBytes(status).map(([label, size, list]) => ({ label, value: size, text: bytes(size), list }));
  return card('Size on disk', sizes.length > 0 ? shares(sizes, 'Size on disk') : none('Nothing is stored yet.'), facts(rows));
}

function modelCard(info) {
  const { model } = info;
  if (!model) return null;
  return card(
    'Model',
    facts([
      ['name', model.name],
      ['precision', model.precision],
      ['dimensions', count(model.dimensions)],
      ['window', `${count(model.window_tokens)} tokens`],
      ['overlap', `${count(model.overlap_tokens)} tokens`],
      ['sparse model', info.sparse_model ?? 'none'],
      ['fingerprint', model.fingerprint],
    ]),
  );
}

function fieldsCard(info) {
  if (!info.fields?.length) return null;
  return el(
    'section',
    { class: 'card wide' },
    el('h2', {}, 'Fields'),
    el(
      'dl',
      { class: 'field-kinds' },
      info.fields.map((field) => el('div', {}, el('dt', {}, field.name), el('dd', {}, field.kind))),
    ),
  );
}

function facts(rows) {
  return el(
    'dl',
    { class: 'facts' },
    rows.map(([name, value]) => [el('dt', {}, name), el('dd', {}, String(value ?? '–'))]),
  );
}

function others(collections, current, store) {
  return el(
    'section',
    { class: 'card wide' },
    el('h2', {}, 'Collections'),
    el(
      'div',
      { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Collections' },
      el(
        'table',
        {},
        el(
          'thead',
          {},
          el(
            'tr',
            {},
            ['name', 'documents', 'passages', 'model', 'state'].map((name, place) =>
              el('th', { scope: 'col', class: place === 1 || place === 2 ? 'figure' : null }, name),
            ),
          ),
        ),
        el(
          'tbody',
          {},
          collections.map((one) =>
            el(
              'tr',
              { 'aria-current': one.name === current ? 'true' : null },
              el(
                'th',
                { scope: 'row' },
                el(
                  'a',
                  {
                    'data-name': `collection ${one.name}`,
                    href: store.link({ c: one.name, q: '', filter: '', facets: '', sort: '', doc: '', at: '' }),
                  },
                  one.name,
                ),
              ),
              el('td', { class: 'figure' }, count(one.documents)),
              el('td', { class: 'figure' }, count(one.chunks)),
              el('td', {}, one.model),
              el('td', {}, one.error ? `${one.state}: ${one.error}` : one.state),
            ),
          ),
        ),
      ),
    ),
  );
}
