// The controls of a search beside its words: mode, order, how many, and what is shown of a hit.

import { byId, el, put } from './dom.js';

const MODES = [
  ['hybrid', 'Hybrid', 'Words and meaning together'],
  ['dense', 'Dense', 'Meaning alone'],
  ['lexical', 'Lexical', 'Words alone'],
  ['sparse', 'Sparse', 'Weighted word pieces of a learned model'],
];
const SORTABLE = ['keyword', 'integer', 'float', 'date', 'boolean'];
const SIZES = ['10', '20', '50', '100'];

// [part of the state, label, what it does, whether this collection can]
const SWITCHES = [
  [
    'meaning',
    'Meaning',
    'Underline the sentence that answers best, and the words in it that are closest to the question',
    () => true,
  ],
  ['passages', 'Passages', 'Show passages instead of documents', () => true],
  ['fold', 'Fold copies', 'Fold hits into those above that say nearly the same', () => true],
  ['late', 'Late rerank', 'Order the first hits anew, token by token', (info) => info?.has_token_rows],
];

export function createOptions({ store }) {
  const modes = byId('modes');
  const host = byId('options');

  // Controls are drawn once for each collection, and only set after that, so that they keep the focus.
  function draw(info) {
    put(
      modes,
      el('legend', { class: 'unseen' }, 'Mode'),
      MODES.filter(([mode]) => mode !== 'sparse' || info?.sparse_model).map(([mode, name, about]) =>
        el(
          'label',
          { title: about },
          el('input', {
            type: 'radio',
            name: 'mode',
            value: mode,
            onchange: () => store.set({ mode: mode === 'hybrid' ? '' : mode }),
          }),
          el('span', {}, name),
        ),
      ),
    );
    const sorts = [['', 'best first'], ...orders(info)];
    put(
      host,
      SWITCHES.filter(([, , , can]) => can(info)).map(([part, name, about]) =>
        el(
          'label',
          { class: 'switch', title: about },
          el('input', {
            type: 'checkbox',
            name: part,
            onchange: (event) => store.set({ [part]: event.target.checked ? '1' : '' }),
          }),
          el('span', {}, name),
        ),
      ),
      el(
        'label',
        { class: 'pick' },
        el('span', { class: 'quiet-label' }, 'Order'),
        el(
          'select',
          { name: 'sort', onchange: (event) => store.set({ sort: event.target.value }) },
          sorts.map(([value, name]) => el('option', { value }, name)),
        ),
      ),
      el(
        'label',
        { class: 'pick size' },
        el('span', { class: 'quiet-label' }, 'Show'),
        el(
          'select',
          { name: 'k', onchange: (event) => store.set({ k: event.target.value === SIZES[0] ? '' : event.target.value }) },
          SIZES.map((value) => el('option', { value }, value)),
        ),
      ),
    );
  }

  function set(state) {
    for (const radio of modes.querySelectorAll('input')) radio.checked = radio.value === (state.mode || 'hybrid');
    for (const box of host.querySelectorAll('input')) box.checked = state[box.name] !== '';
    host.querySelector('[name=sort]').value = state.sort;
    host.querySelector('[name=k]').value = state.k || SIZES[0];
  }

  return { draw, set };
}

function orders(info) {
  const fields = (info?.fields ?? []).filter((field) => SORTABLE.includes(field.kind)).map((field) => field.name);
  return [...new Set([...fields, 'modified'])].flatMap((name) => [
    [`${name}:desc`, `${name}, descending`],
    [name, `${name}, ascending`],
  ]);
}

// What the state asks of the server.
export function searchBody(state, info, { facets, viewer }) {
  const body = {
    query: state.q,
    collection: info.name,
    mode: state.mode || 'hybrid',
    k: Math.min(10000, Number.parseInt(state.k, 10) || 10),
  };
  if (state.filter) body.filter = state.filter;
  if (facets.length > 0) body.facets = facets;
  if (state.sort) body.sort = state.sort;
  if (state.passages) body.passages = true;
  if (state.fold) body.collapse = 0.8;
  if (state.meaning && state.q) body.semantic_highlights = true;
  if (state.late && info.has_token_rows && state.q) body.rerank = { by: 'late' };
  if (viewer?.principals.length > 0) body.principals = viewer.principals;
  if (viewer?.as_owner) body.as_owner = true;
  return body;
}
