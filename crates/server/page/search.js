// The search view: takes the question, asks while it is being typed, and shows the newest answer and no older one.

import * as api from './api.js';
import { byId, counted, debounced, el, put } from './dom.js';
import { chosenFacets, createSide, facetRequest, viewers } from './side.js';
import { countText, documentList, hitList } from './hits.js';
import { createCompletion } from './complete.js';
import { createOptions, searchBody } from './options.js';
import { explanationPanel } from './explain.js';
import { trouble } from './trouble.js';

const TYPING_PAUSE_MS = 140;
// Quicker answers replace the old ones without a sign that something is going on, which would only flicker.
const PATIENCE_MS = 180;
const PAGE = 20;

export function createSearch(context) {
  const { store } = context;
  const input = byId('query');
  const clear = byId('clear');
  const view = byId('view-search');
  const ask = api.newest();
  const side = createSide(context);
  const options = createOptions(context);
  const completion = createCompletion(input, {
    parameters: () => ({ collection: context.info?.name, ...asViewer(context.info) }),
    taken: typed,
  });
  let asked = '';
  let answer = null;
  let drawnFor = null;
  let isTyping = false;
  let explanations = { key: '', promise: null };

  // Letters of one question are one step in the history.
  const typedLater = debounced(TYPING_PAUSE_MS, typed);
  function typed() {
    typedLater.cancel();
    store.set({ q: input.value.trim() }, { replace: isTyping });
    isTyping = true;
  }
  input.addEventListener('input', () => {
    clear.hidden = input.value === '';
    typedLater();
  });
  input.addEventListener('blur', () => {
    isTyping = false;
  });
  clear.addEventListener('click', () => {
    input.value = '';
    clear.hidden = true;
    typed();
    input.focus();
  });
  byId('ask').addEventListener('submit', (event) => {
    event.preventDefault();
    completion.close();
    typed();
    isTyping = false;
  });

  function update(state, info) {
    if (drawnFor !== info) {
      options.draw(info);
      side.showViewer(info, again);
      drawnFor = info;
    }
    options.set(state);
    view.classList.toggle('is-browsing', state.q === '');
    side.update(state, info);
    if (document.activeElement !== input || input.value.trim() !== state.q) input.value = state.q;
    clear.hidden = input.value === '';
    const key = requestKey(state, info);
    if (key !== asked) run(state, info, key);
  }

  async function run(state, info, key) {
    asked = key;
    const slow = setTimeout(() => view.classList.add('is-working'), PATIENCE_MS);
    try {
      const got = await ask((signal) => (isBrowsing(state) ? browse(state, info, signal) : found(state, info, signal)));
      if (got === api.DROPPED) return;
      answer = got;
      explanations = { key: '', promise: null };
      show(state, info);
    } catch (error) {
      answer = null;
      fail(error, state);
    } finally {
      clearTimeout(slow);
      if (asked === key) view.classList.remove('is-working');
    }
  }

  const found = (state, info, signal) => api.search(body(state, info), signal);

  // Without a question: the documents by id, page by page, and the counts of all of them.
  async function browse(state, info, signal) {
    const facets = chosenFacets(state, info);
    const counts = facets.length > 0 ? api.search({ ...body(state, info), k: 1 }, signal) : null;
    const page = api.documents({ collection: info.name, limit: PAGE, ...asViewer(info) }, signal).catch((error) => {
      // A key may be for searching alone.
      if (error.code === 'forbidden') return { documents: [], next: null, mayNotList: true };
      throw error;
    });
    const [listed, answered] = await Promise.all([page, counts]);
    return { ...listed, facets: answered?.facets, warnings: answered?.warnings };
  }

  function body(state, info) {
    return searchBody(state, info, {
      facets: facetRequest(chosenFacets(state, info)),
      viewer: info.needs_viewer ? viewers() : null,
    });
  }

  function show(state, info) {
    side.refuse('');
    side.showCounts(answer.facets ?? {}, state, info);
    put(
      byId('notices'),
      suggestion(),
      answer.hits?.length === 0 ? whoAsks(info) : null,
      (answer.warnings ?? []).map((warning) => el('p', { class: 'notice' }, sentence(warning))),
    );
    if (answer.documents) {
      byId('count').textContent = info.status
        ? `${counted(info.status.documents, 'document')}, ${counted(info.status.chunks, 'passage')}`
        : counted(answer.documents.length, 'document');
      showDocuments(info);
      return;
    }
    byId('count').textContent = countText(answer, state.passages !== '');
    put(byId('hits'), answer.hits.length > 0 ? hitList(answer, hitContext(state, info)) : nothing(state));
    context.answered();
  }

  function hitContext(state, info) {
    return {
      canExplain: state.q !== '',
      link: (hit) => store.link({ doc: hit.document, at: hit.chunk ? String(hit.chunk.ordinal) : '' }),
      explain: (hit, host) => explain(hit, host, state, info),
    };
  }

  // The arithmetic is asked for when somebody wants to see it, for all hits at once.
  async function explain(hit, host, state, info) {
    if (host.childElementCount > 0) return;
    const key = requestKey(state, info);
    if (explanations.key !== key) {
      explanations = { key, promise: api.search({ ...body(state, info), explain: true, facets: undefined }) };
    }
    const late = setTimeout(() => put(host, el('p', { class: 'quiet' }, 'Adding up …')), PATIENCE_MS);
    try {
      const explained = await explanations.promise;
      const same = explained.hits.find((one) => one.document === hit.document && one.chunk?.ordinal === hit.chunk?.ordinal);
      if (same?.explanation) put(host, explanationPanel(same.explanation, hit.title || hit.document));
      else put(host, changedSince());
    } catch (error) {
      explanations = { key: '', promise: null };
      put(
        host,
        trouble(error, () => {
          put(host);
          explain(hit, host, state, info);
        }),
      );
    } finally {
      clearTimeout(late);
    }
  }

  function changedSince() {
    const button = el('button', { type: 'button', class: 'link-button', onclick: again }, 'Search again');
    return el('p', { class: 'notice' }, 'The index has changed since. ', button, '.');
  }

  function showDocuments(info) {
    const list = documentList(answer.documents, (one) => store.link({ doc: one.id, at: '' }));
    put(byId('hits'), answer.documents.length > 0 ? list : answer.mayNotList ? askFirst() : emptyCollection());
    if (answer.next === null || answer.next === undefined) return;
    const more = el('button', { type: 'button', class: 'button' }, 'More documents');
    more.addEventListener('click', async () => {
      more.disabled = true;
      try {
        const page = await api.documents({ collection: info.name, limit: PAGE, after: answer.next, ...asViewer(info) });
        const known = answer.documents.length;
        answer = { ...answer, documents: [...answer.documents, ...page.documents], next: page.next };
        showDocuments(info);
        byId('hits').querySelectorAll('.hit-title a')[known]?.focus();
      } catch (error) {
        put(
          byId('notices'),
          trouble(error, () => more.click()),
        );
        more.disabled = false;
      }
    });
    byId('hits').append(more);
  }

  function suggestion() {
    if (!answer.suggestion) return null;
    return el(
      'p',
      { class: 'suggestion' },
      'Did you mean ',
      el(
        'button',
        {
          type: 'button',
          class: 'link-button',
          onclick: () => {
            input.value = answer.suggestion;
            store.set({ q: answer.suggestion });
            input.focus();
          },
        },
        answer.suggestion,
      ),
      '?',
    );
  }

  function nothing(state) {
    const offers = [];
    if (state.filter) offers.push(['Search without the filter', { filter: '' }]);
    if (state.q && state.mode && state.mode !== 'hybrid') offers.push(['Search by words and meaning', { mode: '' }]);
    const about = state.q ? ['Nothing found for ', el('q', {}, state.q), '.'] : 'No document fulfils the filter.';
    return el(
      'div',
      { class: 'empty' },
      el('h2', {}, about),
      el('p', {}, 'Try fewer or other words. Operators such as +, - and quotes demand what they stand before.'),
      el(
        'div',
        { class: 'row' },
        offers.map(([name, patch]) => el('button', { type: 'button', class: 'button', onclick: () => store.set(patch) }, name)),
      ),
    );
  }

  // What cannot be read as a filter is said beside it, and the hits stay: it is often half typed.
  function fail(error, state) {
    byId('count').textContent = '';
    const isFilter =
      error.code === 'invalid_input' && state.filter !== '' && (error.field === null || error.field === 'filter');
    if (isFilter && document.activeElement === byId('filter')) {
      side.refuse(error.message);
      return;
    }
    side.refuse(isFilter ? 'Is the filter right?' : '');
    put(byId('notices'), trouble(error, again), whoAsks(context.info));
    put(byId('hits'));
    side.showCounts(null, state, context.info);
  }

  function again() {
    asked = '';
    put(byId('notices'));
    context.refresh();
  }

  return {
    update,
    again,
    focus() {
      input.focus();
      input.select();
    },
    // The marks of a passage that the last answer has.
    hit: (document, ordinal) =>
      answer?.hits?.find((hit) => hit.document === document && String(hit.chunk?.ordinal) === ordinal),
  };
}

function askFirst() {
  return el(
    'div',
    { class: 'empty' },
    el('h2', {}, 'Ask something'),
    el('p', {}, 'The key that was given may search, but not list documents.'),
  );
}

function emptyCollection() {
  return el(
    'div',
    { class: 'empty' },
    el('h2', {}, 'This collection has no documents'),
    el('p', {}, 'Add some with ', el('code', {}, 'berth index DIR --index NAME.berth'), '.'),
  );
}

// In a collection with access lists, what is missing may only be hidden from whom nobody named.
function whoAsks(info) {
  if (!info?.needs_viewer || viewers().as_owner || viewers().principals.length > 0) return null;
  return el('p', { class: 'notice' }, 'This collection has access lists. Say who asks, next to the filter.');
}

const isBrowsing = (state) => !state.q && !state.filter && !state.sort;

export function asViewer(info) {
  if (!info?.needs_viewer) return {};
  const { principals, as_owner: asOwner } = viewers();
  return { principals: principals.join(','), as_owner: asOwner ? 'true' : null };
}

// Two states with one key have one answer.
function requestKey(state, info) {
  const { q, mode, filter, facets, sort, k, passages, fold, meaning, late } = state;
  return JSON.stringify([info.name, q, mode, filter, facets, sort, k, passages, fold, meaning && q, late && q, asViewer(info)]);
}

function sentence(text) {
  return text ? text[0].toUpperCase() + text.slice(1) : '';
}
