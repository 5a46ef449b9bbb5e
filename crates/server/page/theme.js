// Puts the chosen theme on the page before it is painted, so that it does not flash. Not a module, because modules run later.
(() => {
  const NAME = 'berth-theme';
  const ORDER = ['system', 'light', 'dark'];

  function stored() {
    try {
      return localStorage.getItem(NAME);
    } catch {
      return null; // Storage can be forbidden; the choice then lasts as long as the page.
    }
  }

  let theme = ORDER.includes(stored()) ? stored() : 'system';

  function apply() {
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    document.dispatchEvent(new CustomEvent('berth-theme', { detail: theme }));
  }

  window.berthTheme = {
    current: () => theme,
    next() {
      theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
      try {
        localStorage.setItem(NAME, theme);
      } catch {
        // See above.
      }
      apply();
    },
  };
  apply();
})();
