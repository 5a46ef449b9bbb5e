// Looks at the page as an assistive technology would: names, labels, headings, landmarks, contrast.
(() => {
  const problems = [];
  const shown = (node) => node.getClientRects().length > 0 && getComputedStyle(node).visibility !== 'hidden';
  const describe = (node) =>
    `<${node.tagName.toLowerCase()}${node.id ? ` id=${node.id}` : ''} class="${node.getAttribute('class') ?? ''}"> ` +
    `“${node.textContent.trim().slice(0, 40)}”`;
  const hidden = (node) => node.closest('[aria-hidden=true]') !== null;
  const byIds = (ids) =>
    ids
      .split(/\s+/)
      .map((id) => document.getElementById(id)?.textContent ?? '')
      .join(' ')
      .trim();

  function name(node) {
    const label = node.getAttribute('aria-label')?.trim();
    if (label) return label;
    if (node.getAttribute('aria-labelledby')) return byIds(node.getAttribute('aria-labelledby'));
    if (node.labels?.length > 0)
      return [...node.labels]
        .map((one) => one.textContent)
        .join(' ')
        .trim();
    if (['A', 'BUTTON', 'SUMMARY', 'OPTION'].includes(node.tagName) || node.getAttribute('role') === 'option')
      return node.textContent.trim();
    return node.getAttribute('title')?.trim() ?? '';
  }

  for (const node of document.querySelectorAll(
    'a[href], button, input, select, textarea, summary, [role=option], [tabindex="0"]',
  )) {
    if (shown(node) && !hidden(node) && name(node) === '') problems.push(`no name: ${describe(node)}`);
  }
  for (const node of document.querySelectorAll('img, canvas, svg')) {
    if (!shown(node) || hidden(node)) continue;
    if (node.parentElement.closest('svg')) continue;
    if (!(node.getAttribute('aria-label') || node.getAttribute('alt')))
      problems.push(`picture without a label: ${describe(node)}`);
  }
  let level = 0;
  const headings = [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter(shown);
  for (const heading of headings) {
    const here = Number(heading.tagName[1]);
    if (heading.textContent.trim() === '') problems.push(`empty heading: ${describe(heading)}`);
    // What is beside the text may begin with a lower heading; in the main part none is left out.
    if (here > level + 1 && heading.closest('main')) problems.push(`heading ${here} after ${level}: ${describe(heading)}`);
    level = here;
  }
  if (headings.filter((one) => one.tagName === 'H1').length !== 1) problems.push('not exactly one first heading');
  for (const [landmark, selector] of [
    ['main', 'main'],
    ['banner', 'header'],
    ['navigation', 'nav'],
  ]) {
    if (![...document.querySelectorAll(selector)].some(shown)) problems.push(`no landmark ${landmark}`);
  }
  const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
  for (const id of new Set(ids)) if (ids.filter((one) => one === id).length > 1) problems.push(`id ${id} twice`);
  for (const attribute of ['aria-controls', 'aria-labelledby', 'aria-describedby', 'aria-activedescendant', 'for']) {
    for (const node of [...document.querySelectorAll(`[${attribute}]`)].filter(shown)) {
      for (const id of node.getAttribute(attribute).split(/\s+/))
        if (!document.getElementById(id)) problems.push(`${attribute} names ${id}, which is not there: ${describe(node)}`);
    }
  }
  if (!document.documentElement.lang) problems.push('the page does not say its language');

  // Contrast of text with what is painted behind it. A canvas reads any notation of a colour.
  const pen = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', {
    willReadFrequently: true,
  });
  const known = new Map();
  function rgba(colour) {
    if (!known.has(colour)) {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
      known.set(colour, [r, g, b, a / 255]);
    }
    return known.get(colour);
  }
  const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
  function behind(node) {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      layers.push(rgba(getComputedStyle(at).backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  }
  const luminance = (colour) =>
    colour
      .slice(0, 3)
      .map((value) => value / 255)
      .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
      .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const seen = new Set();
  for (const node of document.querySelectorAll('body *')) {
    if (!shown(node) || node.closest('.unseen, [disabled], noscript')) continue;
    if (![...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())) continue;
    const style = getComputedStyle(node);
    const back = behind(node);
    const ink = over(rgba(node.closest('svg') ? style.fill : style.color), back);
    const [light, dark] = [luminance(ink), luminance(back)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const key = `${node.tagName}.${node.getAttribute('class')}`;
    if (ratio < 4.5 && !seen.has(key)) {
      seen.add(key);
      problems.push(`contrast ${ratio.toFixed(2)}: ${describe(node)}`);
    }
  }
  return problems;
})();
