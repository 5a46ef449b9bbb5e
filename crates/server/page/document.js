// One document: its whole text with its passages, scrolled to the one that was found.

import * as api from './api.js';
import { asViewer } from './search.js';
import { byId, count, counted, el, put } from './dom.js';
import { painted } from './hits.js';
import { pieces, toStringRanges } from './bytes.js';
import { trouble } from './trouble.js';

const OPENING_LETTERS = 64;

export function createDocument(context) {
  const { store } = context;
  const view = byId('view-document');
  const ask = api.newest();
  // The title stands beside the way back once its heading has left the window.
  const heading = new IntersectionObserver(([entry]) =>
    view.querySelector('.back')?.classList.toggle('at-top', entry.isIntersecting),
  );
  let shown = null;
  let key = '';

  async function update(state, info) {
    const wanted = JSON.stringify([info.name, state.doc, asViewer(info)]);
    if (wanted === key) {
      if (shown) point(state.at, true);
      return;
    }
    key = wanted;
    shown = null;
    // An old document must not stand under a new address, and a quick answer must not flicker.
    const slow = setTimeout(() => put(view, frame('Opening …')), 180);
    try {
      const document = await ask((signal) =>
        api.documents({ collection: info.name, id: state.doc, ...asViewer(info) }, signal),
      );
      if (document === api.DROPPED) return;
      shown = document;
      draw(document, state);
      point(state.at, false);
    } catch (error) {
      key = '';
      put(
        view,
        frame('Document'),
        trouble(error, () => update(store.get(), info)),
      );
    } finally {
      clearTimeout(slow);
    }
  }

  function frame(title) {
    return [
      el(
        'p',
        { class: 'back at-top' },
        el('a', { href: store.link({ doc: '', at: '' }) }, '← Back to results'),
        el('kbd', { 'aria-hidden': 'true' }, 'Esc'),
        el('span', { class: 'back-title', 'aria-hidden': 'true' }, title),
      ),
      el('h1', { id: 'document-heading', tabindex: '-1' }, title),
    ];
  }

  function draw(document, state) {
    const ranges = rangesOf(document);
    put(
      view,
      frame(document.title || document.id),
      el(
        'div',
        { class: 'document' },
        el(
          'aside',
          { class: 'document-side', 'aria-label': 'About the document' },
          about(document),
          chunkList(document, ranges),
        ),
        el(
          'div',
          { class: 'document-text', id: 'document-text', dir: 'auto', lang: languageOf(document) },
          body(document, ranges, state),
        ),
      ),
    );
    heading.disconnect();
    heading.observe(byId('document-heading'));
    context.retitle(document.title || document.id);
    byId('document-heading').focus({ preventScroll: true });
  }

  function body(document, ranges, state) {
    const hit = context.hit(document.id, state.at);
    const chunk = document.chunks?.find((one) => String(one.ordinal) === state.at);
    const shift = ([start, end]) => [start + (chunk?.start ?? 0), end + (chunk?.start ?? 0)];
    const layer = (byteRanges) => (chunk ? toStringRanges(document.text, byteRanges.map(shift)) : []);
    const layers = {
      chunks: ranges,
      words: layer(hit?.highlights ?? []),
      tokens: layer(hit?.semantic?.tokens ?? []),
      sentence: layer(hit?.semantic ? [hit.semantic.sentence] : []),
    };
    if (!document.text) return el('p', { class: 'quiet' }, 'This document has no text.');
    return pieces(document.text, layers).map((piece) => {
      const inside = piece.within.chunks ?? [];
      const kind = inside.length > 1 ? 'shared' : inside.length === 1 ? ['even', 'odd'][inside[0] % 2] : 'outside';
      const ordinals = inside.map((index) => document.chunks[index].ordinal);
      return el('span', { class: `piece ${kind}`, 'data-chunks': ordinals.join(' ') }, painted(piece));
    });
  }

  function chunkList(document, ranges) {
    if (ranges.length === 0) return null;
    const items = document.chunks.map((chunk, index) => {
      const opening = document.text
        .slice(ranges[index]?.[0] ?? 0, (ranges[index]?.[0] ?? 0) + OPENING_LETTERS)
        .replace(/\s+/gu, ' ')
        .trim();
      return el(
        'li',
        {},
        el(
          'a',
          {
            href: store.link({ at: String(chunk.ordinal) }),
            'data-ordinal': chunk.ordinal,
            onclick: (event) => {
              event.preventDefault();
              go(String(chunk.ordinal));
            },
          },
          el('span', { class: 'chunk-number' }, `${chunk.ordinal + 1}`),
          el('span', { class: 'chunk-opening', dir: 'auto' }, opening),
          el('span', { class: 'chunk-size' }, counted(chunk.tokens, 'token')),
        ),
      );
    });
    return el(
      'nav',
      { class: 'chunk-list', 'aria-labelledby': 'chunks-heading' },
      el('h2', { class: 'side-title', id: 'chunks-heading' }, `Passages (${count(items.length)})`),
      el('ol', {}, items),
    );
  }

  function go(ordinal) {
    store.set({ at: ordinal }, { replace: true });
  }

  // Marks a passage and scrolls to it.
  function point(at, isSmooth) {
    for (const piece of view.querySelectorAll('.piece')) {
      piece.classList.toggle('at', at !== '' && piece.dataset.chunks.split(' ').includes(at));
    }
    for (const link of view.querySelectorAll('.chunk-list a')) {
      if (link.dataset.ordinal === at) link.setAttribute('aria-current', 'true');
      else link.removeAttribute('aria-current');
    }
    const still = !isSmooth || matchMedia('(prefers-reduced-motion: reduce)').matches;
    const first = view.querySelector('.piece.at');
    if (first) first.scrollIntoView({ block: 'start', behavior: still ? 'auto' : 'smooth' });
    else if (!isSmooth) window.scrollTo(0, 0);
    const entry = view.querySelector('.chunk-list a[aria-current]');
    const list = entry?.closest('ol');
    if (entry) list.scrollTop = entry.offsetTop - list.offsetTop - list.clientHeight / 3;
    if (at !== '' && first) context.announce(`Passage ${Number(at) + 1} of ${shown.chunks.length}`);
  }

  return {
    update,
    hide() {
      key = '';
      shown = null;
      ask.cancel();
    },
    close: () => store.set({ doc: '', at: '' }),
    // Draws the text anew with the marks of a hit that came after it.
    mark() {
      const state = store.get();
      if (!shown || !context.hit(shown.id, state.at)) return;
      put(byId('document-text'), body(shown, rangesOf(shown), state));
      point(state.at, false);
    },
    // To the passage so many further on.
    step(by) {
      if (!shown?.chunks?.length) return;
      const ordinals = shown.chunks.map((chunk) => chunk.ordinal);
      const now = ordinals.indexOf(Number(store.get().at || -1));
      const next = Math.min(ordinals.length - 1, Math.max(0, now + by));
      go(String(ordinals[next]));
    },
  };
}

// For breaking lines and for reading aloud, where the metadata say it.
function languageOf({ metadata }) {
  const language = metadata?.language ?? metadata?.lang;
  return typeof language === 'string' && /^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$/.test(language) ? language : null;
}

// Where its passages stand in the string.
function rangesOf(document) {
  return toStringRanges(
    document.text,
    (document.chunks ?? []).map((chunk) => [chunk.start, chunk.end]),
  );
}

function about(document) {
  const rows = [['id', document.id], ['source', document.source], ...Object.entries(document.metadata ?? {})].filter(
    ([, value]) => value !== null && value !== undefined && value !== '',
  );
  return el(
    'dl',
    { class: 'facts' },
    rows.map(([name, value]) => [
      el('dt', {}, name),
      el(
        'dd',
        { dir: 'auto' },
        Array.isArray(value) ? value.join(', ') : typeof value === 'object' ? JSON.stringify(value) : String(value),
      ),
    ]),
  );
}
