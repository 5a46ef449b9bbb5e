// Renders the OpenAPI description of the server for people: operations by tag, and what goes in and out.

import * as api from './api.js';
import { byId, el, put } from './dom.js';
import { createSchemas } from './schema.js';
import { installThemeButton } from './theme-button.js';
import { trouble } from './trouble.js';

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

installThemeButton();
load();

async function load() {
  try {
    draw(await api.openapi());
  } catch (error) {
    put(byId('main'), el('h1', { class: 'page-title' }, 'API'), trouble(error, load));
  }
}

function draw(description) {
  const schemas = createSchemas(description);
  const groups = grouped(description, schemas);
  put(
    byId('index'),
    el('h2', { class: 'side-title' }, 'Operations'),
    groups.map((group) => [
      el('h3', {}, group.name),
      el(
        'ul',
        {},
        group.operations.map((one) =>
          el('li', {}, el('a', { href: `#${one.anchor}` }, method(one.method), el('span', { class: 'path' }, one.path))),
        ),
      ),
    ]),
  );
  const { info = {} } = description;
  put(
    byId('main'),
    el(
      'h1',
      { class: 'page-title' },
      info.title ?? 'API',
      info.version ? el('span', { class: 'version' }, info.version) : null,
    ),
    info.description ? prose(info.description) : null,
    el(
      'p',
      { class: 'quiet' },
      'The same for programs: ',
      el('a', { href: '/openapi.json' }, '/openapi.json'),
      description.openapi ? `, OpenAPI ${description.openapi}.` : '.',
    ),
    groups.map((group) =>
      el(
        'section',
        { class: 'group' },
        el('h2', {}, group.name),
        group.description ? prose(group.description) : null,
        group.operations.map((one) => operation(one, schemas)),
      ),
    ),
  );
  // The fragment named an operation that was not there yet.
  if (location.hash.startsWith('#op-')) byId(location.hash.slice(1))?.scrollIntoView();
}

// Operations by their first tag, in the order of the tags.
function grouped(description, schemas) {
  const groups = new Map((description.tags ?? []).map((tag) => [tag.name, { ...tag, operations: [] }]));
  for (const [path, given] of Object.entries(description.paths ?? {})) {
    const item = schemas.resolve(given);
    for (const name of METHODS.filter((one) => item[one])) {
      const one = item[name];
      const tag = one.tags?.[0] ?? 'Other';
      if (!groups.has(tag)) groups.set(tag, { name: tag, operations: [] });
      const parameters = [...(item.parameters ?? []), ...(one.parameters ?? [])].map(schemas.resolve);
      const anchor = `op-${one.operationId ?? name + path}`.replace(/[^a-zA-Z0-9]+/g, '-');
      groups.get(tag).operations.push({ ...one, method: name, path, parameters, anchor });
    }
  }
  return [...groups.values()].filter((group) => group.operations.length > 0);
}

const method = (name) => el('span', { class: `method ${name}` }, name.toUpperCase());

function operation(one, schemas) {
  const body = one.requestBody ? schemas.resolve(one.requestBody) : null;
  return el(
    'article',
    { class: 'operation', id: one.anchor },
    el(
      'h3',
      {},
      method(one.method),
      el('span', { class: 'path' }, one.path),
      one.deprecated ? el('span', { class: 'badge' }, 'deprecated') : null,
    ),
    one.summary ? el('p', { class: 'lead' }, one.summary) : null,
    one.description && one.description !== one.summary ? prose(one.description) : null,
    one.parameters.length > 0 ? parameters(one.parameters, schemas) : null,
    body
      ? [
          el('h4', {}, 'Request', body.required === false ? el('span', { class: 'quiet' }, ' optional') : null),
          body.description ? prose(body.description) : null,
          contents(body.content, schemas),
        ]
      : null,
    el('h4', {}, 'Responses'),
    Object.entries(one.responses ?? {}).map(([status, given]) => response(status, schemas.resolve(given), schemas)),
  );
}

function parameters(list, schemas) {
  return [
    el('h4', {}, 'Parameters'),
    el(
      'dl',
      { class: 'schema' },
      list.map((one) => [
        el(
          'dt',
          {},
          el('code', {}, one.name),
          el('span', { class: 'type' }, `${schemas.typeName(one.schema ?? {})}, in ${one.in}`),
          one.required ? el('span', { class: 'required' }, 'required') : null,
        ),
        el(
          'dd',
          {},
          one.description ? prose(one.description) : null,
          schemas.limits(one.schema ?? {}),
          one.example === undefined ? null : el('p', {}, 'Example: ', el('code', {}, JSON.stringify(one.example))),
        ),
      ]),
    ),
  ];
}

function response(status, given, schemas) {
  const isGood = status.startsWith('2');
  const title = [el('span', { class: `status ${isGood ? 'good' : 'bad'}` }, status), given.description ?? ''];
  if (!given.content) return el('p', { class: 'response' }, title);
  return el('details', { class: 'response', open: isGood }, el('summary', {}, title), contents(given.content, schemas));
}

function contents(content, schemas) {
  return Object.entries(content ?? {}).map(([type, media]) =>
    el(
      'div',
      { class: 'content' },
      el('p', { class: 'media' }, type),
      media.schema ? schemas.show(media.schema) : null,
      examples(media, schemas),
    ),
  );
}

function examples(media, schemas) {
  const shared = media.schema ? schemas.resolve(media.schema) : {};
  const named = Object.entries(media.examples ?? {}).map(([name, given]) => {
    const example = schemas.resolve(given);
    return [example.summary ?? name, example.value];
  });
  if (media.example !== undefined) named.push(['Example', media.example]);
  else if (named.length === 0 && shared.example !== undefined) named.push(['Example', shared.example]);
  else if (named.length === 0 && shared.examples?.length > 0) named.push(['Example', shared.examples[0]]);
  return named.map(([name, value]) =>
    el(
      'figure',
      { class: 'example' },
      el('figcaption', {}, name),
      el('pre', { tabindex: '0', 'aria-label': name }, typeof value === 'string' ? value : JSON.stringify(value, null, 2)),
    ),
  );
}

// Descriptions are Markdown; paragraphs and code are all that is made of it here.
function prose(text) {
  return text.split(/\n{2,}/).map((paragraph) =>
    el(
      'p',
      {},
      paragraph
        .split(/(`[^`]+`)/)
        .map((part) =>
          part.startsWith('`') && part.length > 2 ? el('code', {}, part.slice(1, -1)) : part.replace(/\n/g, ' '),
        ),
    ),
  );
}
