// Completes the word that is being typed, in a list below the box: arrows choose, Enter or Tab takes, Escape closes.

import { complete, DROPPED, newest } from './api.js';
import { byId, count, counted, debounced, el, put } from './dom.js';

const LEAST_LETTERS = 2;
const WORDS = 6;

export function createCompletion(input, { parameters, taken }) {
  const list = byId('completions');
  const ask = newest();
  let words = [];
  let active = -1;

  const look = debounced(90, async () => {
    const prefix = lastWord();
    if (prefix.length < LEAST_LETTERS || document.activeElement !== input) {
      close();
      return;
    }
    try {
      const answer = await ask((signal) => complete({ ...parameters(), prefix, limit: WORDS + 1 }, signal));
      if (answer !== DROPPED && document.activeElement === input) show(answer.words, prefix);
    } catch {
      close(); // Completion is a help; what is wrong will be said by the search itself.
    }
  });

  function lastWord() {
    const before = input.value.slice(0, input.selectionStart ?? input.value.length);
    return /[\p{L}\p{N}_]+$/u.exec(before)?.[0] ?? '';
  }

  function show(found, prefix) {
    words = found.filter((one) => one.word.toLowerCase() !== prefix.toLowerCase()).slice(0, WORDS);
    active = -1;
    input.removeAttribute('aria-activedescendant');
    list.hidden = words.length === 0;
    input.setAttribute('aria-expanded', String(words.length > 0));
    put(
      list,
      words.map((one, place) => {
        const shared = one.word.toLowerCase().startsWith(prefix.toLowerCase()) ? prefix.length : 0;
        return el(
          'li',
          {
            id: `completion-${place}`,
            role: 'option',
            'aria-selected': 'false',
            'aria-label': `${one.word}, in ${counted(one.passages, 'passage')}`,
            onmousedown: (event) => {
              event.preventDefault();
              take(place);
            },
          },
          el('span', {}, one.word.slice(0, shared), el('b', {}, one.word.slice(shared))),
          el('span', { class: 'completion-count', title: counted(one.passages, 'passage') }, count(one.passages)),
        );
      }),
    );
  }

  function close() {
    look.cancel();
    ask.cancel();
    words = [];
    active = -1;
    list.hidden = true;
    input.setAttribute('aria-expanded', 'false');
    input.removeAttribute('aria-activedescendant');
  }

  function move(step) {
    // One place more than there are words: none is chosen there.
    active = ((active + step + words.length + 2) % (words.length + 1)) - 1;
    [...list.children].forEach((option, place) => option.setAttribute('aria-selected', String(place === active)));
    if (active >= 0) input.setAttribute('aria-activedescendant', `completion-${active}`);
    else input.removeAttribute('aria-activedescendant');
  }

  function take(place) {
    const caret = input.selectionStart ?? input.value.length;
    const before = input.value.slice(0, caret - lastWord().length);
    const after = input.value.slice(caret).replace(/^[\p{L}\p{N}_]+/u, '');
    input.value = `${before}${words[place].word}${after || ' '}`;
    const end = before.length + words[place].word.length + (after ? 0 : 1);
    input.setSelectionRange(end, end);
    close();
    taken();
  }

  input.addEventListener('input', look);
  input.addEventListener('blur', close);
  input.addEventListener('keydown', (event) => {
    if (words.length === 0 || event.isComposing) return;
    const isActive = active >= 0;
    if (event.key === 'ArrowDown') move(1);
    else if (event.key === 'ArrowUp') move(-1);
    else if (event.key === 'Escape') close();
    else if (event.key === 'Enter' && isActive) take(active);
    else if (event.key === 'Tab' && isActive && !event.shiftKey) take(active);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return { close };
}
