// The inspector: what a model makes of a text. Its tokens, and how much each looks at the others.

import * as api from './api.js';
import { byId, counted, debounced, el, put } from './dom.js';
import { createHeatMap, thumbnail } from './heatmap.js';
import { toStringOffsets } from './bytes.js';
import { trouble } from './trouble.js';

// A text of so many letters has some fifty tokens; all its layers are about two megabytes.
const SHORT_LETTERS = 240;
// What is wrong with a text or a model, and no fault of the server.
const HINTS = new Set(['too_large', 'invalid_input', 'refused', 'unimplemented', 'not_found']);
const EXAMPLE = 'The harbour pilot boards the ship before it berths.';

export function createInspector(context) {
  const { store } = context;
  const view = byId('view-inspector');
  const askTokens = api.newest();
  const askLayer = api.newest();
  const layerCounts = new Map();
  let parts = null;
  let tokensKey = '';
  let layerKey = '';
  let layer = null;
  let whole = { key: '' };

  function build() {
    const text = el('textarea', { id: 'inspect-text', rows: '3', spellcheck: 'false', dir: 'auto' });
    const later = debounced(250, () => store.set({ text: text.value }, { replace: true }));
    text.addEventListener('input', later);
    const model = el('select', {
      id: 'inspect-model',
      onchange: (event) => store.set({ model: event.target.value, layer: '', head: '' }, { replace: true }),
    });
    parts = {
      text,
      model,
      models: null,
      problem: el('div', {}),
      tokens: el('div', {}),
      summary: el('p', { class: 'quiet', role: 'status' }),
      attention: el('div', {}),
    };
    put(
      view,
      el('h1', { class: 'page-title', id: 'inspector-heading' }, 'Inspector'),
      el('p', { class: 'lead' }, 'What a model reads of a text: its tokens, and how much each of them looks at the others.'),
      el(
        'div',
        { class: 'inspect-form' },
        el('label', { for: 'inspect-text' }, 'Text'),
        text,
        el(
          'div',
          { class: 'row' },
          el('label', { class: 'pick' }, el('span', { class: 'quiet-label' }, 'Model'), model),
          parts.summary,
        ),
      ),
      parts.problem,
      el('section', { 'aria-labelledby': 'tokens-heading' }, el('h2', { id: 'tokens-heading' }, 'Tokens'), parts.tokens),
      el(
        'section',
        { 'aria-labelledby': 'attention-heading' },
        el('h2', { id: 'attention-heading' }, 'Attention'),
        parts.attention,
      ),
    );
  }

  async function update(state) {
    if (!parts) build();
    const text = state.text === '' ? EXAMPLE : state.text;
    if (document.activeElement !== parts.text) parts.text.value = text;
    try {
      if (!parts.models) {
        parts.models = (await api.models()).data.map((one) => one.id);
        put(
          parts.model,
          parts.models.map((id) => el('option', { value: id }, id)),
        );
      }
      const model = [state.model, context.info?.model?.name, parts.models[0]].find((one) => parts.models.includes(one));
      if (model) parts.model.value = model;
      await Promise.all([showTokens(text, model), showAttention(state, text, model)]);
    } catch (error) {
      put(parts.problem, trouble(error, again));
    }
  }

  function again() {
    [tokensKey, layerKey] = ['', ''];
    put(parts.problem);
    update(store.get());
  }

  async function showTokens(text, model) {
    const key = JSON.stringify([text, model]);
    if (key === tokensKey) return;
    tokensKey = key;
    try {
      const answer = await askTokens((signal) => api.tokenize({ inputs: text, model }, signal));
      if (answer === api.DROPPED) return;
      put(parts.problem);
      drawTokens(answer[0] ?? [], text);
    } catch (error) {
      tokensKey = '';
      throw error;
    }
  }

  function drawTokens(tokens, text) {
    const own = tokens.filter((token) => !token.special);
    const special = tokens.filter((token) => token.special);
    parts.summary.textContent = `${counted(own.length, 'token')}, and ${special.length} that the model adds`;
    put(
      parts.tokens,
      el(
        'ol',
        { class: 'tokens', 'aria-label': 'Tokens of the text' },
        own.map((token) => chip(token, text)),
      ),
      special.length > 0
        ? [
            el('h3', { class: 'side-title' }, 'Added by the model'),
            el(
              'ol',
              { class: 'tokens', 'aria-label': 'Special tokens' },
              special.map((token) => chip(token, text)),
            ),
          ]
        : null,
    );
  }

  async function showAttention(state, text, model) {
    const number = Number.parseInt(state.layer, 10) || 0;
    const key = JSON.stringify([text, model, number]);
    if (key === layerKey) {
      if (layer) drawHeads(state);
      return;
    }
    layerKey = key;
    try {
      const answer = await askLayer((signal) => layerOf(text, model, number, signal));
      if (answer === api.DROPPED) return;
      layer = answer;
      drawAttention(state);
    } catch (error) {
      layerKey = '';
      layer = null;
      put(parts.attention, HINTS.has(error.code) ? el('p', { class: 'notice' }, `${error.message}.`) : trouble(error, again));
    }
  }

  // All layers of a short text come at once, and are kept; those of a long one are many megabytes, and come one by one. How
  // many there are is learned from a short text.
  async function layerOf(text, model, number, signal) {
    if (text.length <= SHORT_LETTERS) {
      const key = JSON.stringify([text, model]);
      if (whole.key !== key) whole = { key, ...(await api.attention({ text, model }, signal)) };
      layerCounts.set(model, whole.layers.length);
      const chosen = whole.layers[Math.min(number, whole.layers.length - 1)];
      return { tokens: whole.tokens, heads: chosen.heads, number: chosen.layer, count: whole.layers.length };
    }
    if (!layerCounts.has(model)) layerCounts.set(model, (await api.attention({ text: 'a', model }, signal)).layers.length);
    const count = layerCounts.get(model);
    const answer = await api.attention({ text, model, layer: Math.min(number, count - 1) }, signal);
    return { tokens: answer.tokens, heads: answer.layers[0].heads, number: answer.layers[0].layer, count };
  }

  // The whole part is drawn for a new text; another head only changes the map, so that buttons keep the focus.
  function drawAttention(state) {
    const labels = layer.tokens.map((token) => token.piece ?? token.text);
    const focused = document.activeElement?.closest('#view-inspector [data-layer]')?.dataset.layer;
    const layers = el(
      'div',
      { class: 'segments layers', role: 'group', 'aria-label': 'Layer' },
      Array.from({ length: layer.count }, (_, place) =>
        el(
          'button',
          {
            type: 'button',
            'data-layer': String(place),
            'aria-pressed': String(place === layer.number),
            'aria-label': `Layer ${place + 1}`,
            onclick: () => store.set({ layer: place === 0 ? '' : String(place) }, { replace: true }),
          },
          String(place + 1),
        ),
      ),
    );
    const heads = el(
      'div',
      { class: 'heads', role: 'group', 'aria-label': 'Head' },
      layer.heads.map((weights, place) =>
        el(
          'button',
          {
            type: 'button',
            class: 'head',
            'data-head': String(place),
            'aria-label': `Head ${place + 1}`,
            onclick: () => store.set({ head: place === 0 ? '' : String(place) }, { replace: true }),
          },
          thumbnail(weights),
          el('span', { 'aria-hidden': 'true' }, String(place + 1)),
        ),
      ),
    );
    layer.map = createHeatMap(labels);
    put(
      parts.attention,
      el(
        'div',
        { class: 'attention' },
        el(
          'div',
          { class: 'attention-choice' },
          el('h3', { class: 'side-title' }, 'Layer'),
          layers,
          el('h3', { class: 'side-title' }, 'Head'),
          heads,
        ),
        layer.map.node,
      ),
    );
    drawHeads(state);
    if (focused) parts.attention.querySelector(`[data-layer="${focused}"]`)?.focus();
  }

  function drawHeads(state) {
    const head = Math.min(layer.heads.length - 1, Number.parseInt(state.head, 10) || 0);
    for (const button of parts.attention.querySelectorAll('.head')) {
      button.setAttribute('aria-pressed', String(Number(button.dataset.head) === head));
    }
    layer.map.draw(layer.heads[head], `Attention of layer ${layer.number + 1}, head ${head + 1}`);
  }

  document.addEventListener('berth-theme', () => {
    if (layer && !view.hidden) drawAttention(store.get());
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    if (layer && !view.hidden) drawAttention(store.get());
  });

  return { update };
}

// A token with its number and where it stands. Models write a token in their own way, `##ing`; the text itself is shown where
// it is known.
function chip(token, text) {
  const piece = token.piece ?? token.text;
  const at = token.start !== null && token.start !== undefined ? toStringOffsets(text, [token.start, token.stop]) : null;
  const written = at ? text.slice(at[0], at[1]) : '';
  const bytes = at ? `${token.start}–${token.stop}` : '';
  return el(
    'li',
    { class: token.special ? 'token special' : 'token', title: written && written !== piece ? `of “${written}”` : null },
    el('span', { class: 'token-text', dir: 'auto' }, piece === '' ? '␣' : piece),
    el('span', { class: 'token-id' }, el('span', { class: 'unseen' }, ' id '), String(token.id)),
    bytes ? el('span', { class: 'token-bytes' }, el('span', { class: 'unseen' }, ' bytes '), bytes) : null,
  );
}
