// The list of hits: what was found, how good it is, and the part of its text that answers.

import { counted, el, milliseconds, percent, score } from './dom.js';
import { pieces, stretch, toStringRanges } from './bytes.js';

const SNIPPET_CHARACTERS = 360;
const LISTS = ['dense', 'lexical', 'sparse', 'late', 'cross'];

// `context` says how a hit is opened and explained: `link(hit)` and `explain(hit, host)`.
export function hitList(answer, context) {
  return el(
    'ol',
    { class: 'hits', 'aria-label': 'Hits' },
    answer.hits.map((hit) => hitItem(hit, context)),
  );
}

function hitItem(hit, context) {
  const title = hit.title || hit.document;
  const isListed = !hit.dense && !hit.lexical && !hit.sparse && !hit.pinned && hit.score === 0;
  const panelId = `explain-${hit.rank}`;
  const host = el('div', { class: 'explain-host', id: panelId, hidden: true });
  const button = el(
    'button',
    {
      type: 'button',
      class: 'text-button',
      'aria-expanded': 'false',
      'aria-controls': panelId,
      'data-action': 'explain',
      'aria-label': `Explain the score of ${title}`,
      onclick: () => {
        host.hidden = !host.hidden;
        button.setAttribute('aria-expanded', String(!host.hidden));
        if (!host.hidden) context.explain(hit, host);
      },
    },
    'Explain',
  );
  return el(
    'li',
    { class: 'hit', 'data-document': hit.document, 'data-chunk': hit.chunk?.ordinal },
    el('div', { class: 'hit-rank', 'aria-hidden': 'true' }, hit.rank),
    el(
      'article',
      { class: 'hit-body' },
      el('h2', { class: 'hit-title' }, el('a', { href: context.link(hit) }, title)),
      el('p', { class: 'hit-place' }, place(hit)),
      snippet(hit),
      folded(hit),
    ),
    isListed ? null : el('div', { class: 'hit-measures' }, measures(hit), context.canExplain ? button : null),
    host,
  );
}

function place(hit) {
  const source = hit.source ?? (hit.title ? hit.document : null);
  return [
    source ? el('span', { class: 'path', title: source }, source) : null,
    hit.chunk ? el('span', {}, `passage ${hit.chunk.ordinal + 1}`) : null,
    hit.pinned ? el('span', { class: 'badge' }, 'pinned') : null,
  ];
}

function folded(hit) {
  if (!hit.folded?.length) return null;
  return el(
    'p',
    { class: 'hit-folded' },
    `${counted(hit.folded.length, 'near-copy', 'near-copies')} folded in: ${hit.folded.join(', ')}`,
  );
}

// The meter, and the place and score in each list.
function measures(hit) {
  const relevance = Math.min(1, Math.max(0, hit.relevance ?? 0));
  const rows = LISTS.filter((list) => hit[list]).map((list) =>
    el(
      'li',
      { 'data-list': list },
      el('span', { class: 'dot', 'aria-hidden': 'true' }),
      el('span', { class: 'list-name' }, list),
      el('span', { class: 'list-rank' }, `#${hit[list].rank}`),
      el('span', { class: 'list-score' }, score(hit[list].score)),
    ),
  );
  return [
    el(
      'div',
      {
        class: 'meter',
        role: 'meter',
        'aria-label': 'Relevance',
        'aria-valuemin': '0',
        'aria-valuemax': '1',
        'aria-valuenow': relevance.toFixed(2),
        'aria-valuetext': percent(relevance),
      },
      el('span', { style: { width: `${100 * relevance}%` } }),
    ),
    el(
      'p',
      { class: 'hit-score' },
      el('span', { title: 'How likely it is that this answers the question' }, 'relevance ', el('b', {}, percent(relevance))),
      el(
        'span',
        { title: 'What hits are ordered by; it only compares hits of one question' },
        'score ',
        el('b', {}, score(hit.score)),
      ),
    ),
    rows.length > 0 ? el('ul', { class: 'lists', 'aria-label': 'Place and score in each list' }, rows) : null,
  ];
}

function snippet(hit) {
  const text = hit.text ?? '';
  if (!text.trim()) return null;
  const words = toStringRanges(text, hit.highlights ?? []);
  const sentence = toStringRanges(text, hit.semantic ? [hit.semantic.sentence] : []);
  const tokens = toStringRanges(text, hit.semantic?.tokens ?? []);
  const [start, end] = stretch(text, words, SNIPPET_CHARACTERS, sentence[0] ?? null);
  const cut = pieces(text, { words, sentence, tokens }, start, end);
  return el(
    'p',
    { class: 'snippet', dir: 'auto' },
    start > 0 || hit.chunk?.start > 0 ? '… ' : null,
    cut.map(painted),
    end < text.length ? ' …' : null,
  );
}

// A piece of text with what is marked in it.
export function painted({ text, within }) {
  let node = text;
  if (within.words) node = el('mark', {}, node);
  if (within.tokens) node = el('em', { class: 'semantic-token' }, node);
  if (within.sentence) node = el('span', { class: 'semantic-sentence' }, node);
  return node;
}

// Documents without a question: their titles.
export function documentList(documents, link) {
  return el(
    'ol',
    { class: 'hits listing', 'aria-label': 'Documents' },
    documents.map((document) =>
      el(
        'li',
        {
          class: 'hit plain',
          'data-document': document.id,
        },
        el(
          'article',
          { class: 'hit-body' },
          el('h2', { class: 'hit-title' }, el('a', { href: link(document) }, document.title || document.id)),
          document.title && document.title !== document.id
            ? el('p', { class: 'hit-place' }, el('span', { class: 'path', title: document.id }, document.id))
            : null,
        ),
      ),
    ),
  );
}

// "10 documents in 7.9 ms".
export function countText(answer, passages) {
  const found = passages ? counted(answer.hits.length, 'passage') : counted(answer.hits.length, 'document');
  return `${found} in ${milliseconds(answer.took_ms)}`;
}
