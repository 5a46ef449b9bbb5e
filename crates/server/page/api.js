// Asks the server. Everything else of the page gets answers or an `ApiError`.

import { keep, read } from './storage.js';

const KEY = 'berth-api-key';

// What a status means where the answer does not say it.
const CODES = {
  400: 'invalid_input',
  401: 'unauthenticated',
  403: 'forbidden',
  404: 'not_found',
  409: 'refused',
  413: 'too_large',
  429: 'overloaded',
  501: 'unimplemented',
  503: 'unavailable',
  504: 'deadline_exceeded',
};

export class ApiError extends Error {
  constructor({ status, code, message, limit = null, field = null, retryAfter_s = null }) {
    super(message);
    Object.assign(this, { status, code, limit, field, retryAfter_s });
  }
}

// What `newest` answers for a question that was overtaken.
export const DROPPED = Symbol('dropped');

// Lets one question at a time be open: a new one aborts the one before, whose answer is dropped even if it still arrives.
export function newest() {
  let controller = new AbortController();
  const run = async (ask) => {
    controller.abort();
    const mine = new AbortController();
    controller = mine;
    try {
      const answer = await ask(mine.signal);
      return mine.signal.aborted ? DROPPED : answer;
    } catch (error) {
      if (mine.signal.aborted) return DROPPED;
      throw error;
    }
  };
  run.cancel = () => controller.abort();
  return run;
}

// The key is kept for this tab alone and goes with it.
export const keepKey = (key) => keep(KEY, key);
export const hasKey = () => Boolean(read(KEY));

export const collections = (signal) => call('/collections', { signal });
export const collection = (name, signal) => call(`/collections/${encodeURIComponent(name)}`, { signal });
export const search = (body, signal) => call('/search', { body, signal });
export const complete = (asked, signal) => call('/complete', { asked, signal });
export const documents = (asked, signal) => call('/documents', { asked, signal });
export const models = (signal) => call('/v1/models', { signal });
export const tokenize = (body, signal) => call('/tokenize', { body, signal });
export const attention = (body, signal) => call('/inspect/attention', { body, signal });
export const openapi = (signal) => call('/openapi.json', { signal });

async function call(path, { asked = {}, body = null, signal = null }) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(asked)) {
    if (value !== null && value !== undefined && value !== '') parameters.set(name, value);
  }
  const query = parameters.toString();
  const headers = { accept: 'application/json' };
  const key = read(KEY);
  if (key) headers.authorization = `Bearer ${key}`;
  if (body !== null) headers['content-type'] = 'application/json';
  const method = body === null ? 'GET' : 'POST';
  let response;
  try {
    response = await fetch(query ? `${path}?${query}` : path, {
      method,
      headers,
      signal,
      body: body === null ? null : JSON.stringify(body),
      cache: 'no-store',
      credentials: 'omit',
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError({ status: 0, code: 'unreachable', message: 'the server does not answer' });
  }
  if (!response.ok) throw await refusal(response);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError({ status: response.status, code: 'internal', message: 'the answer is not JSON' });
  }
}

async function refusal(response) {
  let said = null;
  try {
    const { error } = await response.json();
    // Routes that were made for other clients say it in the shape of those: a text alone.
    said = typeof error === 'string' ? { message: error } : error;
  } catch {
    // A proxy may answer in its own words; the status is all there is then.
  }
  const wait = Number.parseFloat(response.headers.get('retry-after'));
  return new ApiError({
    status: response.status,
    code: said?.code ?? CODES[response.status] ?? 'internal',
    message: said?.message ?? `the server answered with status ${response.status}`,
    limit: said?.limit ?? null,
    field: said?.field ?? null,
    retryAfter_s: Number.isFinite(wait) ? wait : null,
  });
}
