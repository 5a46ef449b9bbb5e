// Beside the results: the filter, the counts of values to filter by, and who asks.

import { byId, count, debounced, el, put } from './dom.js';
import { clause, clauses, has, toggled } from './filter.js';
import { keep, read } from './storage.js';

const COUNTABLE = ['keyword', 'integer', 'date', 'boolean'];
const SHOWN_AT_FIRST = 2;
const VALUES = 8;
const VIEWERS = 'berth-viewers';

// The fields to count: those chosen, else the first that can be counted.
export function chosenFacets(state, info) {
  const countable = countableFields(info);
  if (state.facets === 'none') return [];
  if (state.facets === '') return countable.slice(0, SHOWN_AT_FIRST);
  return state.facets.split(',').filter((name) => countable.includes(name));
}

export const facetRequest = (names) => names.map((name) => `${name}:${VALUES}`);

function countableFields(info) {
  return (info?.fields ?? []).filter((field) => COUNTABLE.includes(field.kind)).map((field) => field.name);
}

// Who asks is no part of the address: a link that is passed on must not carry it.
export function viewers() {
  try {
    return { principals: [], as_owner: false, ...JSON.parse(read(VIEWERS) ?? '{}') };
  } catch {
    return { principals: [], as_owner: false };
  }
}

export function createSide(context) {
  const { store } = context;
  const counts = el('div', { class: 'facets' });
  const field = el('input', {
    id: 'filter',
    type: 'text',
    spellcheck: 'false',
    autocapitalize: 'none',
    autocomplete: 'off',
    placeholder: 'field:value',
    'aria-describedby': 'filter-state',
  });
  const state = el('p', { class: 'field-state', id: 'filter-state', role: 'alert' });
  const chips = el('ul', { class: 'clauses', 'aria-label': 'Conditions' });
  const help = el('details', { class: 'help' }, el('summary', {}, 'How to write a filter'), el('div', { class: 'help-body' }));
  const viewer = el('div', { class: 'viewer' });

  const filterLater = debounced(600, () => store.set({ filter: field.value.trim() }));
  field.addEventListener('input', filterLater);
  field.addEventListener('change', () => {
    filterLater.cancel();
    store.set({ filter: field.value.trim() });
  });
  put(
    byId('side'),
    el(
      'div',
      { class: 'side-block' },
      el('label', { for: 'filter', class: 'side-title' }, 'Filter'),
      field,
      state,
      chips,
      help,
    ),
    viewer,
    counts,
  );

  function update(now, info) {
    if (document.activeElement !== field) field.value = now.filter;
    const parts = clauses(now.filter);
    byId('narrow-count').textContent = parts.length > 0 ? String(parts.length) : '';
    put(
      chips,
      parts.map((part) =>
        el(
          'li',
          {},
          el(
            'button',
            {
              type: 'button',
              class: 'chip',
              'aria-label': `Remove ${part}`,
              onclick: () => store.set({ filter: toggled(now.filter, part) }),
            },
            el('span', {}, part),
            el('span', { 'aria-hidden': 'true' }, '×'),
          ),
        ),
      ),
    );
    put(help.lastChild, helpBody(info));
  }

  return {
    update,
    refuse: (message) => {
      state.textContent = message;
      field.setAttribute('aria-invalid', String(message !== ''));
    },
    // Without counts only the choice of fields is shown.
    showCounts: (facets, now, info) => drawCounts(counts, facets, now, info, store),
    showViewer: (info, changed) => drawViewer(viewer, info, changed),
  };
}

function drawCounts(host, facets, now, info, store) {
  const countable = countableFields(info);
  if (countable.length === 0) {
    put(host);
    return;
  }
  const chosen = chosenFacets(now, info);
  const groups = (facets ? chosen : []).map((name) => {
    const values = facets[name] ?? [];
    const most = Math.max(1, ...values.map((one) => one.count));
    return el(
      'section',
      { class: 'facet', 'data-field': name, 'aria-label': name },
      el('h2', { class: 'side-title' }, name),
      values.length === 0 ? el('p', { class: 'quiet' }, 'No document has a value.') : null,
      el(
        'ul',
        {},
        values.map((one) => facetValue(name, one, most, now, store)),
      ),
    );
  });
  const kept = host.querySelector('details.facet-choice')?.open;
  const focused = document.activeElement?.dataset?.facet;
  put(host, groups, fieldChoice(countable, chosen, store, kept));
  if (focused) host.querySelector(`[data-facet="${CSS.escape(focused)}"]`)?.focus();
}

function facetValue(name, { value, count: found }, most, now, store) {
  const wanted = clause(name, String(value));
  const isOn = has(now.filter, wanted);
  return el(
    'li',
    {},
    el(
      'button',
      {
        type: 'button',
        class: 'facet-value',
        'aria-pressed': String(isOn),
        'data-facet': wanted,
        onclick: () => store.set({ filter: toggled(store.get().filter, wanted) }),
      },
      el('span', { class: 'facet-bar', 'aria-hidden': 'true', style: { width: `${(100 * found) / most}%` } }),
      el('span', { class: 'facet-name', dir: 'auto' }, String(value)),
      el('span', { class: 'facet-count' }, count(found)),
    ),
  );
}

function fieldChoice(countable, chosen, store, open) {
  const boxes = countable.map((name) =>
    el(
      'label',
      { class: 'check' },
      el('input', {
        type: 'checkbox',
        checked: chosen.includes(name),
        'data-facet': `choose ${name}`,
        onchange: (event) => {
          const next = event.target.checked ? [...chosen, name] : chosen.filter((one) => one !== name);
          store.set(
            { facets: next.length > 0 ? countable.filter((one) => next.includes(one)).join(',') : 'none' },
            { replace: true },
          );
        },
      }),
      name,
    ),
  );
  return el(
    'details',
    { class: 'help facet-choice', open },
    el('summary', {}, 'Fields to count'),
    el('div', { class: 'help-body' }, boxes),
  );
}

function drawViewer(host, info, changed) {
  if (!info?.needs_viewer) {
    put(host);
    return;
  }
  if (host.childElementCount > 0) return;
  const kept = viewers();
  const names = el('input', {
    id: 'viewers',
    type: 'text',
    spellcheck: 'false',
    placeholder: 'alice, staff',
    value: kept.principals.join(', '),
  });
  const owner = el('input', { type: 'checkbox', checked: kept.as_owner });
  const keepNames = () => {
    const principals = names.value
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean);
    keep(VIEWERS, JSON.stringify({ principals, as_owner: owner.checked }));
    changed();
  };
  names.addEventListener('change', keepNames);
  owner.addEventListener('change', keepNames);
  put(
    host,
    el(
      'div',
      { class: 'side-block' },
      el('label', { for: 'viewers', class: 'side-title' }, 'Who asks'),
      names,
      el('label', { class: 'check' }, owner, 'as the owner, who sees everything'),
      el('p', { class: 'quiet' }, 'This collection has access lists. Names are separated by commas.'),
    ),
  );
}

function helpBody(info) {
  const rows = [
    ['lang:ko', 'this value'],
    ['lang:k*', 'values that begin so'],
    ['year:[2019 TO 2021]', 'a range'],
    ['year:>=2020', 'an open range'],
    ['day:2020-05', 'any day of that month'],
    ['title:crane', 'words in a text field'],
    ['lang:(ko OR en)', 'one of several'],
    ['NOT lang:ko', 'all but these'],
    ['lang:*', 'any value'],
  ];
  const fields = (info?.fields ?? []).map((one) => el('li', {}, el('code', {}, one.name), ` ${one.kind}`));
  return [
    el(
      'dl',
      { class: 'syntax' },
      rows.map(([written, means]) => [el('dt', {}, el('code', {}, written)), el('dd', {}, means)]),
    ),
    el('p', {}, 'Join conditions by AND, OR, NOT and brackets. Fields of this collection:'),
    el(
      'ul',
      { class: 'field-list' },
      fields,
      ['id', 'source', 'modified', 'title', 'language'].map((name) => el('li', {}, el('code', {}, name))),
    ),
  ];
}
