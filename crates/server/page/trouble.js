// Says what went wrong and what to do about it.

import { el } from './dom.js';
import { hasKey, keepKey } from './api.js';

const ADVICE = {
  invalid_input: 'Change the question or the filter.',
  not_found: 'It may have been removed or renamed. Go back, or choose another collection.',
  forbidden: 'The key that was given may not do this.',
  deadline_exceeded: 'Ask for fewer results, or with a simpler filter, and try again.',
  too_large: 'Shorten what you sent.',
  refused: 'The server guards against this.',
  unimplemented: 'This server cannot do that.',
  unavailable: 'The server is not ready. Try again in a moment.',
  corrupted: 'Check the files of the index on the server.',
  internal: 'The log of the server may say more.',
};

const TITLES = {
  invalid_input: 'That cannot be searched for',
  not_found: 'Not found',
  forbidden: 'Not allowed',
  overloaded: 'The server is busy',
  deadline_exceeded: 'That took too long',
  too_large: 'Too large',
  refused: 'Refused',
  unimplemented: 'Not possible here',
  unavailable: 'Not ready',
  corrupted: 'The index is damaged',
  internal: 'The server failed',
  unreachable: 'No answer',
};

// A panel for an error; `retry` asks again.
export function trouble(error, retry) {
  if (error.code === 'unauthenticated') return keyForm(error, retry);
  const code = error.code ?? 'internal';
  const panel = el(
    'div',
    { class: 'trouble', role: 'alert', 'data-code': code },
    el('h2', {}, TITLES[code] ?? 'Something went wrong'),
    el('p', { class: 'trouble-message' }, sentence(error.message)),
    el('p', {}, advice(code, error)),
  );
  const button = el('button', { type: 'button', class: 'button', onclick: retry }, 'Try again');
  panel.append(button);
  if (code === 'overloaded') countDown(panel, button, Math.min(60, Math.max(1, error.retryAfter_s ?? 2)), retry);
  return panel;
}

function advice(code, error) {
  if (code === 'unreachable') return ['Is ', el('code', {}, 'berth serve'), ` still running at ${location.host}?`];
  if (code === 'corrupted') return ['Run ', el('code', {}, 'berth verify --index NAME.berth'), ' on the server.'];
  if (code === 'overloaded') return 'It is asked again by itself.';
  const limit = error.limit ? ` The limit is called ${error.limit}.` : '';
  return (ADVICE[code] ?? 'Try again.') + limit;
}

// The panel leaves the page as soon as something else is asked, and its timer ends with it.
function countDown(panel, button, wait_s, retry) {
  const step = (left_s) => {
    if (left_s < wait_s && !panel.isConnected) return;
    if (left_s <= 0) {
      retry();
      return;
    }
    button.textContent = `Try again (${Math.ceil(left_s)} s)`;
    setTimeout(step, 1000, left_s - 1);
  };
  step(wait_s);
}

function keyForm(error, retry) {
  const refused = hasKey();
  const field = el('input', { type: 'password', id: 'key', autocomplete: 'off', required: true, spellcheck: 'false' });
  const form = el(
    'form',
    {
      class: 'trouble',
      'data-code': 'unauthenticated',
      onsubmit: (event) => {
        event.preventDefault();
        keepKey(field.value.trim());
        retry();
      },
    },
    el('h2', {}, refused ? 'The key was refused' : 'This server asks for a key'),
    el('p', { class: 'trouble-message', role: 'alert' }, sentence(error.message)),
    el('label', { for: 'key' }, 'API key'),
    el('div', { class: 'row' }, field, el('button', { class: 'button primary', type: 'submit' }, 'Use the key')),
    el('p', { class: 'quiet' }, 'It is kept until you close this tab, and is sent to this server alone.'),
  );
  return form;
}

// Messages begin with a small letter, because they are also read behind others.
function sentence(message) {
  const text = (message || 'no reason was given').trim();
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');
}
