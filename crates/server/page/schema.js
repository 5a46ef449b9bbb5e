// Shows JSON schemas: names, types, limits, and what is inside, with references followed.

import { el } from './dom.js';

const DEEPEST = 6;
const OPEN_LEVELS = 1;
const LIMITS = [
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'pattern',
  'format',
];

export function createSchemas(description) {
  // What a reference of this document points at; others are left as they are.
  function resolve(given) {
    let found = given;
    for (let step = 0; step < 16 && found?.$ref; step += 1) {
      if (!found.$ref.startsWith('#/')) return found;
      const path = found.$ref
        .slice(2)
        .split('/')
        .map((part) => decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~'));
      const target = path.reduce((node, part) => node?.[part], description);
      if (!target) return found;
      const { $ref: _, ...beside } = found;
      found = { ...target, ...beside };
    }
    return found ?? {};
  }

  const refName = (given) => given?.$ref?.split('/').pop() ?? null;

  function typeName(given) {
    const schema = resolve(given);
    const name = refName(given);
    const alternatives = schema.oneOf ?? schema.anyOf;
    if (schema.const !== undefined) return JSON.stringify(schema.const);
    if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(' | ');
    if (alternatives) return alternatives.map(typeName).join(' | ');
    const types = [schema.type ?? (schema.properties || schema.allOf ? 'object' : 'any')].flat();
    const written = types.map((type) => {
      if (type === 'array') return `array of ${schema.items ? typeName(schema.items) : 'any'}`;
      return type === 'object' && name ? name : type;
    });
    if (schema.nullable) written.push('null');
    return written.join(' | ');
  }

  function limits(given) {
    const schema = resolve(given);
    const words = LIMITS.filter((name) => schema[name] !== undefined).map((name) => `${name} ${schema[name]}`);
    if (schema.default !== undefined) words.unshift(`default ${JSON.stringify(schema.default)}`);
    return words.length > 0 ? el('p', { class: 'limits' }, words.join(' · ')) : null;
  }

  // A schema with all that is inside. `path` are the names of the references that it is in: one that is in itself ends there.
  function show(given, level = 0, path = []) {
    const schema = resolve(given);
    const name = refName(given);
    if (level > DEEPEST || (name && path.includes(name)))
      return el('p', { class: 'type' }, `${name ?? typeName(given)}, as above`);
    const inside = name ? [...path, name] : path;
    const merged = mergedProperties(schema);
    if (Object.keys(merged.properties).length > 0) {
      return el(
        'dl',
        { class: 'schema' },
        Object.entries(merged.properties).map(([property, one]) =>
          row(property, one, merged.required.includes(property), level, inside),
        ),
      );
    }
    const alternatives = schema.oneOf ?? schema.anyOf;
    if (alternatives?.some((one) => holds(one))) {
      return alternatives.map((one, place) =>
        el(
          'div',
          { class: 'alternative' },
          el('p', { class: 'type' }, `${place > 0 ? 'or ' : ''}${typeName(one)}`),
          holds(one) ? show(one, level + 1, inside) : null,
        ),
      );
    }
    if (schema.items && holds(schema.items)) {
      return [el('p', { class: 'type' }, typeName(given)), show(schema.items, level + 1, inside)];
    }
    const values = schema.additionalProperties;
    if (values && typeof values === 'object') {
      return [
        el('p', { class: 'type' }, `object, each value ${typeName(values)}`),
        holds(values) ? show(values, level + 1, inside) : null,
      ];
    }
    return [el('p', { class: 'type' }, typeName(given)), limits(given)];
  }

  function row(property, one, isRequired, level, path) {
    const schema = resolve(one);
    const more = holds(one)
      ? el('details', { open: level < OPEN_LEVELS - 1 }, el('summary', {}, 'Inside'), show(one, level + 1, path))
      : null;
    return [
      el(
        'dt',
        {},
        el('code', {}, property),
        el('span', { class: 'type' }, typeName(one)),
        isRequired ? el('span', { class: 'required' }, 'required') : null,
      ),
      el('dd', {}, schema.description ? el('p', {}, schema.description) : null, limits(one), more),
    ];
  }

  function mergedProperties(schema) {
    const all = [schema, ...(schema.allOf ?? []).map(resolve)];
    return {
      properties: Object.assign({}, ...all.map((one) => one.properties ?? {})),
      required: all.flatMap((one) => one.required ?? []),
    };
  }

  // Whether there is anything to see inside.
  function holds(given, depth = 0) {
    const schema = resolve(given);
    if (depth > 4) return false;
    if (Object.keys(mergedProperties(schema).properties).length > 0) return true;
    const values = schema.additionalProperties;
    const within = [...(schema.oneOf ?? schema.anyOf ?? []), schema.items, typeof values === 'object' ? values : null].filter(
      Boolean,
    );
    return within.some((one) => holds(one, depth + 1));
  }

  return { resolve, typeName, limits, show };
}
