// The button that goes through the themes: as the system, light, dark.

import { byId } from './dom.js';

const SIGNS = { system: '◐', light: '☀\ufe0e', dark: '☾' };

export function installThemeButton() {
  const button = byId('theme');
  const draw = () => {
    const theme = window.berthTheme.current();
    const name = `Theme: ${theme === 'system' ? 'as the system' : theme}`;
    button.textContent = SIGNS[theme];
    button.setAttribute('aria-label', name);
    button.title = name;
  };
  button.addEventListener('click', () => window.berthTheme.next());
  document.addEventListener('berth-theme', draw);
  draw();
}
