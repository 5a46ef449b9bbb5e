// What is kept for this tab and goes with it; as long as the page is open where the browser keeps nothing.

const memory = new Map();

export function read(name) {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return memory.get(name) ?? null;
  }
}

export function keep(name, value) {
  try {
    if (value) sessionStorage.setItem(name, value);
    else sessionStorage.removeItem(name);
  } catch {
    memory.set(name, value || null);
  }
}
