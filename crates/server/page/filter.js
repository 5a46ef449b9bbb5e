// Reads and changes the text of a filter, clause by clause. What it means is for the server to say.

// `lang:ko`, with quotes where the value could be read as something else.
export function clause(field, value) {
  const plain = /^[\p{L}\p{N}_][\p{L}\p{N}_.-]*$/u.test(value) && !['AND', 'OR', 'NOT', 'TO'].includes(value);
  return `${field}:${plain ? value : `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`}`;
}

// The clauses that are joined by AND, or by nothing, at the top; a filter with OR at the top is one clause.
export function clauses(filter) {
  const words = topWords(filter);
  if (words.includes('OR')) return [filter.trim()];
  const found = [];
  let negated = false;
  for (const word of words) {
    if (word === 'AND') continue;
    if (word === 'NOT') negated = true;
    else {
      found.push(negated ? `NOT ${word}` : word);
      negated = false;
    }
  }
  return found;
}

export function has(filter, wanted) {
  return clauses(filter).includes(wanted);
}

export function toggled(filter, wanted) {
  const before = clauses(filter);
  if (before.includes(wanted)) return before.filter((one) => one !== wanted).join(' AND ');
  const isOr = before.length === 1 && topWords(filter).includes('OR');
  return [...before.map((one) => (isOr ? `(${one})` : one)), wanted].join(' AND ');
}

// The text cut at spaces that are not in quotes or brackets.
function topWords(filter) {
  const words = [];
  let word = '';
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < filter.length; at += 1) {
    const letter = filter[at];
    if (quoted && letter === '\\') {
      word += letter + (filter[at + 1] ?? '');
      at += 1;
      continue;
    }
    if (letter === '"') quoted = !quoted;
    else if (!quoted && '([{'.includes(letter)) depth += 1;
    else if (!quoted && ')]}'.includes(letter)) depth -= 1;
    if (/\s/.test(letter) && !quoted && depth <= 0) {
      if (word) words.push(word);
      word = '';
    } else word += letter;
  }
  if (word) words.push(word);
  return words;
}
