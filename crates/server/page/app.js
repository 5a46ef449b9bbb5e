// Starts the page: reads what collections there are, and shows the view that the address names.

import * as api from './api.js';
import { byId, counted, el, put } from './dom.js';
import { createDocument } from './document.js';
import { createInspector } from './inspector.js';
import { createSearch } from './search.js';
import { createStatus } from './status.js';
import { createStore } from './state.js';
import { installKeys } from './keys.js';
import { installThemeButton } from './theme-button.js';
import { trouble } from './trouble.js';

const VIEWS = ['search', 'document', 'status', 'inspector'];
const store = createStore();

const context = {
  store,
  collections: [],
  // What the server says of the collection that is shown.
  info: null,
  announce: (text) => {
    byId('live').textContent = text;
  },
  retitle: (name) => {
    document.title = `${name} – Berth`;
  },
  refresh: () => show(),
  reload: () => load(),
  // New hits bring marks for the document that is open.
  answered: () => {
    if (visible === 'document') views.document.mark();
  },
  hit: (document, ordinal) => views.search.hit(document, ordinal),
};

const views = {
  search: createSearch(context),
  document: createDocument(context),
  status: createStatus(context),
  inspector: createInspector(context),
};
let visible = '';
const scrolled = { search: 0 };
let opened = null;
// Whether the collection could not be read when that was tried last.
let hasFailed = false;

history.scrollRestoration = 'manual';
store.listen((state, previous) => {
  if (state.c !== previous.c) load();
  else show();
});
byId('collection').addEventListener('change', (event) => {
  const c = event.target.value;
  // Fields differ between collections, so what names them does not go along.
  store.set({ c, filter: '', facets: '', sort: '', doc: '', at: '' });
});
byId('skip').addEventListener('click', (event) => {
  event.preventDefault(); // The fragment holds the state of the page.
  byId('main').focus();
});
byId('hits').addEventListener('click', (event) => {
  const link = event.target.closest('.hit-title a');
  if (link) opened = link;
});
installThemeButton();
installKeys({ store, views, visibleView: () => visible });
window.matchMedia('(min-width: 60rem)').addEventListener('change', foldSide);
foldSide();
load();

// The part beside the results is folded where it would stand above them.
function foldSide() {
  byId('narrow').open = window.matchMedia('(min-width: 60rem)').matches;
}

async function load() {
  const wanted = store.get().c;
  const isOvertaken = () => store.get().c !== wanted; // Another one was chosen meanwhile.
  try {
    const { collections } = await api.collections();
    if (isOvertaken()) return;
    context.collections = collections;
    const name = wanted || (collections.find((one) => !one.error) ?? collections[0])?.name;
    drawCollections(name);
    const info = name ? await api.collection(name) : null;
    if (isOvertaken()) return;
    context.info = info;
    hasFailed = false;
  } catch (error) {
    if (isOvertaken()) return;
    context.info = null;
    hasFailed = true;
    hideAll();
    byId('trouble').hidden = false;
    put(byId('trouble'), trouble(error, load), others(wanted));
    if (store.get().tab === 'inspector' && context.collections.length > 0) show(); // It asks models, not collections.
    return;
  }
  put(byId('trouble'));
  byId('trouble').hidden = true;
  show();
}

// Ways out of a collection that cannot be shown.
function others(name) {
  const known = context.collections.filter((one) => one.name !== name && !one.error);
  if (known.length === 0) return null;
  const links = known.map((one) => el('li', {}, el('a', { href: `#c=${encodeURIComponent(one.name)}` }, one.name)));
  return el('div', { class: 'empty' }, el('p', {}, 'Other collections of this server:'), el('ul', {}, links));
}

function drawCollections(name) {
  const { collections } = context;
  byId('collection-label').hidden = collections.length === 0;
  put(
    byId('collection'),
    collections.map((one) =>
      el(
        'option',
        {
          value: one.name,
          selected: one.name === name,
          title: counted(one.documents, 'document'),
        },
        one.name,
      ),
    ),
  );
}

function show() {
  const state = store.get();
  const { info } = context;
  const tab = ['status', 'inspector'].includes(state.tab) ? state.tab : 'search';
  drawTabs(tab);
  if (!info && tab !== 'inspector') {
    hideAll();
    if (!byId('trouble').hidden) return;
    // The inspector does without a collection, and hid what was wrong with it; that may be over.
    if (hasFailed) load();
    else if (context.collections.length === 0) {
      byId('trouble').hidden = false;
      put(byId('trouble'), noCollection());
    }
    return;
  }
  byId('trouble').hidden = true;
  const next = tab === 'search' && state.doc ? 'document' : tab;
  document.title = title(state, next);
  switchTo(next);
  // Results are asked for behind an open document too: its marks come from them, and the way back is short.
  if (tab === 'search') views.search.update(state, info);
  if (next !== 'search') views[next].update(state, info);
}

function title(state, view) {
  const where = { status: 'Status', inspector: 'Inspector', document: state.doc, search: state.q }[view];
  return where ? `${where} – Berth` : 'Berth';
}

function switchTo(next) {
  if (visible === next) return;
  const before = visible;
  if (before === 'search') scrolled.search = window.scrollY;
  for (const view of VIEWS) byId(`view-${view}`).hidden = view !== next;
  if (before) views[before].hide?.();
  visible = next;
  if (next !== 'search') window.scrollTo(0, 0);
  else {
    window.scrollTo(0, scrolled.search);
    if (before === 'document' && opened?.isConnected) opened.focus({ preventScroll: true });
  }
}

function hideAll() {
  for (const view of VIEWS) byId(`view-${view}`).hidden = true;
  if (visible) views[visible].hide?.();
  visible = '';
}

function drawTabs(current) {
  for (const link of document.querySelectorAll('.tabs a[data-tab]')) {
    const { tab } = link.dataset;
    link.href = store.link({ tab: tab === 'search' ? '' : tab, doc: '', at: '' });
    if (tab === current) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
}

function noCollection() {
  return el(
    'div',
    { class: 'empty' },
    el('h1', {}, 'Nothing to search yet'),
    el('p', {}, 'This server has no collection. Index a folder, then serve what came of it:'),
    el(
      'pre',
      { tabindex: '0', 'aria-label': 'Commands' },
      'berth index DIR --index NAME.berth\nberth serve --index NAME.berth',
    ),
    el('button', { type: 'button', class: 'button', onclick: load }, 'Look again'),
  );
}
