"use strict";
// Sorts and searches tables, and shows their first rows until the reader asks for all. Without it, all rows are there.
for (const box of document.querySelectorAll(".tabular")) {
  const body = box.querySelector("tbody");
  const heads = [...box.querySelectorAll("thead th")];
  const given = [...body.rows];
  const limit = Number(box.dataset.shown || Infinity);
  let rows = given, open = limit >= given.length, needle = "";
  const texts = new Map();
  const textOf = row => {
    if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return texts.get(row);
  };
  const grouped = number => number.toLocaleString("en-US");

  const tools = document.createElement("div");
  tools.className = "tools";
  const count = box.querySelector(".count");
  count.setAttribute("aria-live", "polite");
  const more = document.createElement("button");
  more.type = "button";
  more.className = "more";
  more.addEventListener("click", () => { open = !open; draw(); });

  function draw() {
    const words = needle.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0, shown = 0;
    for (const row of rows) {
      const fits = words.every(word => textOf(row).includes(word));
      if (fits) found += 1;
      row.hidden = !fits || (!open && found > limit);
      if (!row.hidden) shown += 1;
    }
    count.textContent = shown < given.length ? grouped(shown) + " of " + grouped(given.length) + " rows" : grouped(shown) + (shown === 1 ? " row" : " rows");
    more.hidden = found <= limit;
    more.textContent = open ? "Show the first " + grouped(limit) : "Show all " + grouped(found);
  }

  // A number as it is shown, NaN for a dash; the interval after it does not count.
  const numberOf = cell => parseFloat(cell.textContent.replace(/[,+]/g, "").replace("\u2212", "-"));
  function sort(place, head) {
    const before = head.getAttribute("aria-sort");
    const numeric = head.classList.contains("n");
    // Numbers begin with the largest, words with the first of the alphabet; the third click restores the order given.
    const first = numeric ? "descending" : "ascending", second = numeric ? "ascending" : "descending";
    const next = before === null ? first : before === first ? second : null;
    for (const other of heads) other.removeAttribute("aria-sort");
    rows = given;
    if (next) {
      head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const order = new Intl.Collator("en", { numeric: true });
      const keyed = given.map(row => ({ row, key: numeric ? numberOf(row.cells[place]) : row.cells[place].textContent }));
      keyed.sort((a, b) => {
        if (!numeric) return sign * order.compare(a.key, b.key);
        // What has no value comes last both ways.
        if (Number.isNaN(a.key) || Number.isNaN(b.key)) return Number.isNaN(a.key) - Number.isNaN(b.key);
        return sign * (a.key - b.key);
      });
      rows = keyed.map(one => one.row);
    }
    body.append(...rows);
    draw();
  }

  if ("sortable" in box.dataset) {
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(place, head));
      head.append(button);
    });
  }
  if ("filterable" in box.dataset) {
    const label = document.createElement("label");
    const field = document.createElement("input");
    field.type = "search";
    field.autocomplete = "off";
    field.spellcheck = false;
    field.addEventListener("input", () => { needle = field.value; draw(); });
    label.append("Search ", field);
    tools.append(label);
  }
  tools.append(count);
  box.prepend(tools);
  box.append(more);
  draw();
}
