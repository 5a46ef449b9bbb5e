// Keys: everything can be done without a mouse. Single letters count only outside of fields, and can be switched off.

import { byId, el, put } from './dom.js';

const STORED = 'berth-single-keys';

const HELP = [
  ['/', 'go to the question'],
  ['j, k, ↓, ↑', 'move over the hits'],
  ['Enter', 'open the document'],
  ['e', 'explain the score of the hit'],
  ['n, p', 'next and previous passage of a document'],
  ['Esc', 'close what is open, go back'],
  ['1, 2, 3', 'search, status, inspector'],
  ['t', 'change the theme'],
  ['?', 'show these keys'],
];

export function installKeys({ store, views, visibleView }) {
  const dialog = byId('keys');
  drawHelp(dialog);
  byId('show-keys').addEventListener('click', () => dialog.showModal());
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });

  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || dialog.open) return;
    const field = event.target.closest?.('input:not([type=checkbox], [type=radio]), textarea, select');
    if (event.key === 'Escape') escape(event, field);
    else if (field) {
      if (field.id === 'query' && event.key === 'ArrowDown') moveTo(event, 0);
    } else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') arrow(event);
    else if (singleKeys()) letter(event);
  });

  function escape(event, field) {
    const hit = event.target.closest?.('.hit');
    const open = hit?.querySelector('[data-action=explain][aria-expanded=true]');
    if (open) {
      open.click();
      hit.querySelector('.hit-title a').focus();
    } else if (field) field.blur();
    else if (visibleView() === 'document') views.document.close();
    else return;
    event.preventDefault();
  }

  // Arrows belong to the hits where nothing else has a use for them.
  function arrow(event) {
    if (visibleView() !== 'search') return;
    const { target } = event;
    if (target !== document.body && target.id !== 'main' && !target.closest('.hit-title')) return;
    move(event, event.key === 'ArrowDown' ? 1 : -1);
  }

  function letter(event) {
    const inView = visibleView();
    const { key } = event;
    if (key === '?') dialog.showModal();
    else if (key === '/') {
      store.set({ tab: '', doc: '', at: '' });
      views.search.focus();
    } else if (key === 't') window.berthTheme.next();
    else if ('123'.includes(key)) store.set({ tab: ['', 'status', 'inspector'][Number(key) - 1], doc: '', at: '' });
    else if (inView === 'search' && key === 'j') move(event, 1);
    else if (inView === 'search' && key === 'k') move(event, -1);
    else if (inView === 'search' && key === 'e') explain();
    else if (inView === 'document' && key === 'n') views.document.step(1);
    else if (inView === 'document' && key === 'p') views.document.step(-1);
    else return;
    event.preventDefault();
  }
}

const hitLinks = () => [...document.querySelectorAll('#hits .hit-title a')];

function move(event, step) {
  const links = hitLinks();
  const hit = document.activeElement?.closest('.hit');
  const now = hit ? links.indexOf(hit.querySelector('.hit-title a')) : -1;
  if (now === 0 && step < 0) {
    event.preventDefault();
    byId('query').focus();
    return;
  }
  moveTo(event, now < 0 ? 0 : now + step);
}

function moveTo(event, place) {
  const links = hitLinks();
  if (links.length === 0) return;
  event.preventDefault();
  const link = links[Math.min(links.length - 1, Math.max(0, place))];
  link.focus({ preventScroll: true });
  const hit = link.closest('.hit');
  hit.scrollIntoView({ block: 'nearest' });
}

function explain() {
  const hit = document.activeElement?.closest('.hit') ?? document.querySelector('#hits .hit');
  hit?.querySelector('[data-action=explain]')?.click();
}

function singleKeys() {
  try {
    return localStorage.getItem(STORED) !== 'off';
  } catch {
    return true;
  }
}

function drawHelp(dialog) {
  const box = el('input', {
    type: 'checkbox',
    checked: singleKeys(),
    onchange: (event) => {
      try {
        localStorage.setItem(STORED, event.target.checked ? 'on' : 'off');
      } catch {
        // Storage can be forbidden; the keys then stay on.
      }
    },
  });
  put(
    dialog,
    el(
      'div',
      { class: 'keys-head' },
      el('h2', { id: 'keys-heading' }, 'Keys'),
      el('button', { type: 'button', class: 'icon-button', 'aria-label': 'Close', onclick: () => dialog.close() }, '×'),
    ),
    el(
      'dl',
      {},
      HELP.map(([keys, means]) => [
        el(
          'dt',
          {},
          keys.split(', ').map((key) => el('kbd', {}, key)),
        ),
        el('dd', {}, means),
      ]),
    ),
    el('label', { class: 'check' }, box, 'Shortcuts of a single key'),
  );
}
