// Byte offsets of UTF-8, which the server counts in, to offsets of JavaScript strings, and texts cut at such offsets.

// Offsets into the string for byte offsets, in their order. One that falls into a character means its start, one behind the
// end means the end.
export function toStringOffsets(text, byteOffsets) {
  const order = byteOffsets.map((offset, place) => [offset, place]).sort((a, b) => a[0] - b[0]);
  const found = new Array(byteOffsets.length);
  let at = 0;
  let seen = 0;
  for (const [offset, place] of order) {
    while (at < text.length) {
      const point = text.codePointAt(at);
      const width = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
      if (seen + width > offset) break;
      seen += width;
      at += point < 0x10000 ? 1 : 2;
    }
    found[place] = at;
  }
  return found;
}

// Ranges of bytes as ranges of the string, in their order.
export function toStringRanges(text, byteRanges) {
  const flat = toStringOffsets(text, byteRanges.flat());
  return byteRanges.map((_, place) => [flat[2 * place], flat[2 * place + 1]]);
}

// Cuts [start, end) of a text wherever one of the layers begins or ends. `layers` maps a name to ranges; each piece says which
// layers it lies in: a map from the name to the indexes of the ranges.
export function pieces(text, layers, start = 0, end = text.length) {
  const edges = [];
  for (const [name, ranges] of Object.entries(layers)) {
    ranges.forEach(([from, to], index) => {
      const [first, last] = [Math.max(from, start), Math.min(to, end)];
      if (first < last) edges.push({ at: first, name, index, opens: true }, { at: last, name, index, opens: false });
    });
  }
  edges.sort((a, b) => a.at - b.at);
  const open = new Map(Object.keys(layers).map((name) => [name, []]));
  const cut = [];
  let at = start;
  const emit = (to) => {
    if (to <= at) return;
    const within = {};
    for (const [name, indexes] of open) if (indexes.length > 0) within[name] = [...indexes];
    cut.push({ text: text.slice(at, to), start: at, within });
    at = to;
  };
  for (const edge of edges) {
    emit(edge.at);
    const indexes = open.get(edge.name);
    if (edge.opens) indexes.push(edge.index);
    else indexes.splice(indexes.indexOf(edge.index), 1);
  }
  emit(end);
  return cut;
}

// The stretch of about `size` characters that shows the most of the ranges, cut between words where there are spaces.
export function stretch(text, ranges, size, centre = null) {
  if (text.length <= size * 1.25) return [0, text.length];
  let start = 0;
  if (centre) {
    start = Math.max(0, centre[0] - Math.max(0, Math.floor((size - (centre[1] - centre[0])) / 2)));
  } else if (ranges.length > 0) {
    let most = -1;
    for (const [from] of ranges) {
      const inside = ranges.filter(([a, b]) => a >= from && b <= from + size * 0.8).length;
      if (inside > most) [most, start] = [inside, Math.max(0, from - Math.floor(size * 0.2))];
    }
  }
  let end = Math.min(text.length, start + size);
  start = Math.max(0, Math.min(start, end - size));
  if (start > 0) start = boundary(text, start, 1);
  if (end < text.length) end = boundary(text, end, -1);
  return start < end ? [start, end] : [0, Math.min(text.length, size)];
}

// The next place for a cut in this direction: behind a space if one is near, else not inside a pair of surrogates.
function boundary(text, at, step) {
  for (let moved = 0; moved < 24; moved += 1) {
    const place = at + moved * step;
    if (/\s/u.test(text[step > 0 ? place - 1 : place] ?? ' ')) return place;
  }
  const low = text.charCodeAt(at);
  return low >= 0xdc00 && low <= 0xdfff ? at + step : at;
}
