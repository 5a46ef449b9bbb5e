// What the page shows, kept in the address: a link, a reload and the back button bring it back.
//
// It stands in the fragment, which browsers do not send, so that questions end up in nobody's access log.

// Every part is text, and the empty one is the default, which the address leaves out.
const PARTS = [
  'tab',
  'c',
  'q',
  'mode',
  'filter',
  'facets',
  'sort',
  'k',
  'passages',
  'fold',
  'meaning',
  'late',
  'doc',
  'at',
  'text',
  'model',
  'layer',
  'head',
];

export function createStore() {
  let state = parse(location.hash);
  const listeners = [];

  function adopt() {
    const next = parse(location.hash);
    if (address(next) === address(state)) return;
    const previous = state;
    state = next;
    for (const listener of listeners) listener(state, previous);
  }

  window.addEventListener('popstate', adopt);
  window.addEventListener('hashchange', adopt);

  return {
    get: () => state,
    listen: (listener) => listeners.push(listener),
    // Changes parts of the state. `replace` overwrites the entry in the history, for steps nobody wants to go back to.
    set(patch, { replace = false } = {}) {
      const next = { ...state, ...patch };
      if (address(next) === address(state)) return;
      const previous = state;
      state = next;
      history[replace ? 'replaceState' : 'pushState'](null, '', address(next) || location.pathname);
      for (const listener of listeners) listener(state, previous);
    },
    // The address of the state with these parts changed.
    link: (patch) => address({ ...state, ...patch }) || '#',
  };
}

function parse(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ''));
  return Object.fromEntries(PARTS.map((part) => [part, given.get(part) ?? '']));
}

function address(state) {
  const parts = PARTS.filter((part) => state[part] !== '').map((part) => `${part}=${encodeURIComponent(state[part])}`);
  return parts.length > 0 ? `#${parts.join('&')}` : '';
}
