"""What holds of the page in front of any server; what it should show is read from the server."""

import random
import time
import urllib.parse

from selenium.webdriver.common.keys import Keys

import accessibility
from api import Skipped, cut, squeezed


def search_shows_hits(page, api):
    page.open(f"/#c={urllib.parse.quote(api.name)}")
    page.wait_for("#hits .hit")
    page.fill("#query", api.query)
    expected = api.search()["hits"]
    assert expected, f"the server finds nothing for {api.query!r}; choose other words with --query"
    titles = [hit["title"] or hit["document"] for hit in expected]
    page.wait("the hits are those of the server", lambda: page.texts("#hits .hit-title") == titles)
    assert page.text("#count").startswith(f"{len(titles)} document"), page.text("#count")
    for meter, hit in zip(page.all("#hits .meter"), expected):
        assert abs(float(meter.get_attribute("aria-valuenow")) - hit["relevance"]) < 0.011
    places = page.texts("#hits .hit:first-child .lists .list-rank")
    assert places == [f"#{expected[0][name]['rank']}" for name in ("dense", "lexical", "sparse") if expected[0].get(name)], (
        places
    )
    assert f"q={urllib.parse.quote(api.query)}" in page.driver.current_url, page.driver.current_url


def highlights_are_where_the_server_says(page, api):
    hits = api.search(mode="lexical")["hits"]
    marked = [hit for hit in hits if hit.get("highlights")]
    assert marked, f"no lexical hit for {api.query!r} has highlights"
    page.open(api.address(q=api.query, mode="lexical"))
    page.wait_for("#hits .hit mark")
    for hit in marked:
        painted = page.js(
            """return [...document.querySelectorAll('#hits .hit')].filter((hit) => hit.dataset.document === arguments[0])
            .flatMap((hit) => [...hit.querySelectorAll('mark')].map((mark) => mark.textContent))""",
            hit["document"],
        )
        possible = [cut(hit["text"], start, end) for start, end in hit["highlights"]]
        assert painted and set(painted) <= set(possible), (painted, possible)


def meaning_is_underlined(page, api):
    hit = next((hit for hit in api.search(semantic_highlights=True)["hits"] if hit.get("semantic")), None)
    assert hit, "no hit has semantic highlights"
    page.open(api.address(q=api.query))
    page.wait_for("#hits .hit")
    page.click("input[name=meaning]")
    page.wait_for("#hits .semantic-sentence")
    sentence = squeezed(cut(hit["text"], *hit["semantic"]["sentence"]))
    shown = squeezed(
        page.js(
            """const hit = [...document.querySelectorAll('#hits .hit')].find((one) => one.dataset.document === arguments[0]);
        return [...hit.querySelectorAll('.semantic-sentence')].map((one) => one.textContent).join('')""",
            hit["document"],
        )
    )
    assert shown and (shown in sentence or sentence in shown), (shown, sentence)
    page.save("meaning-1280")


def explanation_adds_up(page, api):
    page.open(api.address(q=api.query))
    page.wait_for("#hits .hit")
    expected = api.search()["hits"]
    for place in range(min(3, len(expected))):
        page.click(f"#hits .hit:nth-child({place + 1}) [data-action=explain]")
        page.wait_for(f"#hits .hit:nth-child({place + 1}) .explain-tree")
    nodes = page.js("""return [...document.querySelectorAll('.explain-node')].map((node) => ({
          op: node.dataset.op, value: Number(node.dataset.value), label: node.querySelector('.explain-label').textContent,
          width: node.querySelector('.explain-fill').getBoundingClientRect().width,
          below: [...node.querySelectorAll(':scope > details > ul > li')].map((child) => Number(child.dataset.value)),
        }))""")
    roots = page.js(
        "return [...document.querySelectorAll('.explain-tree > .explain-node')].map((node) => Number(node.dataset.value))"
    )
    for hit, root in zip(expected, roots):
        assert abs(hit["score"] - root) < 1e-3, f"the hit has {hit['score']}, its explanation {root}"
    sums = [node for node in nodes if node["op"] == "sum"]
    assert sums, "no node is a sum"
    for node in sums:
        assert abs(sum(node["below"]) - node["value"]) <= 1e-3 * max(1, abs(node["value"])), node
    for node in (node for node in nodes if node["op"] == "product"):
        product = 1.0
        for value in node["below"]:
            product *= value
        assert abs(product - node["value"]) <= 1e-3 * max(1, abs(node["value"])), node
    assert any(node["width"] > 0 for node in nodes), "no bar has a width"
    assert page.all(".explain-stack span") or api.search(explain=True)["hits"][0]["explanation"].get("children") == [], (
        "no bar of the sum"
    )
    page.save_whole("explain-1280", 1280)


def negative_parts_lie_left_of_zero(page, api):
    """What takes from a score, as novelty does, which the page itself does not ask for."""
    page.open("/")
    bars = page.js_async("""const { explanationPanel } = await import('/assets/explain.js');
        const leaf = (label, value) => ({ label, value });
        const children = [leaf('relevance', 0.5), leaf('repetition', -0.2)];
        const tree = { label: 'novelty = relevance + repetition', value: 0.3, children };
        document.body.prepend(explanationPanel(tree, 'a test'));
        return [...document.querySelectorAll('.explain-tree .explain-fill')].map((bar) => {
          const [all, own] = [bar.parentElement.getBoundingClientRect(), bar.getBoundingClientRect()];
          return { from: (own.left - all.left) / all.width, to: (own.right - all.left) / all.width, list: bar.dataset.list };
        });""")
    _, kept, lost = bars
    assert lost["list"] == "negative" and abs(lost["to"] - kept["from"]) < 0.02 and lost["from"] < lost["to"] < kept["to"], bars


def facets_filter(page, api):
    names = [field["name"] for field in api.info["fields"] if field["kind"] in ("keyword", "integer", "date", "boolean")]
    counted = api.search(facets=[f"{name}:8" for name in names])["facets"] if names else {}
    name = next((name for name in names if counted.get(name)), None)
    if name is None:
        raise Skipped(f"no field of {api.name} can be counted for {api.query!r}")
    page.open(api.address(q=api.query, facets=name))
    page.wait_for(".facet-value")
    assert [int(text.replace(",", "")) for text in page.texts(".facet-count")] == [value["count"] for value in counted[name]]
    page.click(".facet-value")
    page.wait("the first value is pressed", lambda: page.one(".facet-value").get_attribute("aria-pressed") == "true")
    filter_text = page.one("#filter").get_attribute("value")
    assert filter_text.startswith(f"{name}:"), filter_text
    expected = [hit["title"] or hit["document"] for hit in api.search(filter=filter_text)["hits"]]
    page.wait("only what fulfils the filter is left", lambda: page.texts("#hits .hit-title") == expected)
    page.save("facets-1280")
    page.click(".chip")
    page.wait("the filter is gone", lambda: page.one("#filter").get_attribute("value") == "" and not page.all(".chip"))


def document_scrolls_to_the_passage(page, api):
    hits = api.search(passages=True, k=50)["hits"]
    hit = max(hits, key=lambda one: one["chunk"]["ordinal"])
    whole = api.get("/documents", collection=api.name, id=hit["document"])
    page.open(api.address(q=api.query, passages="1", k="50"))
    page.wait_for("#hits .hit")
    page.js(
        """[...document.querySelectorAll('#hits .hit')].find((one) => one.dataset.document === arguments[0]
        && one.dataset.chunk === arguments[1]).querySelector('a').click()""",
        hit["document"],
        str(hit["chunk"]["ordinal"]),
    )
    page.wait_for("#document-text .piece.at")
    assert "".join(page.texts("#document-text .piece")) == whole["text"]
    marked = "".join(page.texts(".piece.at"))
    assert marked == cut(whole["text"], hit["chunk"]["start"], hit["chunk"]["end"]), (
        "the passage that is marked is not that of the hit"
    )
    top = page.js("return document.querySelector('.piece.at').getClientRects()[0].top")
    assert 0 <= top < 900, f"the passage begins at {top}, outside of the window"
    assert len(page.all(".chunk-list li")) == len(whole["chunks"])
    current = page.text(".chunk-list a[aria-current] .chunk-number")
    assert current == str(hit["chunk"]["ordinal"] + 1), current
    page.save("document-1280")
    page.keys(Keys.ESCAPE)
    page.wait_for("#hits .hit")
    focused = page.js("return document.activeElement.closest('.hit')?.dataset.document")
    assert focused == hit["document"], f"after the way back the focus is on {focused}"


def status_is_drawn(page, api):
    page.open(api.address(tab="status"))
    page.wait_for("#view-status .numbers")
    assert page.text("#status-heading") == api.name
    numbers = dict(zip(page.texts(".numbers dt"), page.texts(".numbers dd")))
    assert numbers["documents"].replace(",", "") == str(api.info["status"]["documents"]), numbers
    share = page.one(".gauge").get_attribute("data-share")
    recall = api.info["status"].get("graph_recall@10")
    assert share == "none" if recall is None else abs(float(share) - recall) < 1e-6, (share, recall)
    api.search()
    before = api.get(f"/collections/{urllib.parse.quote(api.name)}")["latency"]["search"]["count"]
    page.wait(
        "it shows a search that was made meanwhile",
        lambda: any(text.startswith(f"{before:,} search") for text in page.texts(".card .quiet")),
    )
    heights = page.js(
        "return [...document.querySelectorAll('.chart')].map((chart) => [...chart.querySelectorAll('.bar')]"
        ".filter((bar) => Number(bar.getAttribute('height')) > 0).length)"
    )
    assert len(heights) >= 2 and all(count > 0 for count in heights), heights
    assert len(page.all(".percentiles dd")) == 3
    page.save_whole("status-1280", 1280)


def inspector_shows_tokens_and_attention(page, api):
    text = "The pilot boards 항구 🚢 before it berths."
    page.open(api.address(tab="inspector", text=text))
    page.wait_for(".tokens .token")
    tokens = api.call("/tokenize", {"inputs": text, "model": api.info["model"]["name"]})[0]
    page.wait("all tokens are there", lambda: len(page.all(".token")) == len(tokens))
    own = [token["piece"] for token in tokens if not token["special"]]
    shown = page.texts(".token:not(.special) .token-text")
    assert shown == own, f"the page shows {shown}, not {own}"
    assert page.texts(".token:not(.special) .token-id")[0].endswith(str(next(t["id"] for t in tokens if not t["special"])))
    page.wait_for("canvas.heat")
    colours = page.js("""const heat = document.querySelector('canvas.heat'); const pixels = heat.getContext('2d')
        .getImageData(0, 0, heat.width, heat.height).data; const seen = new Set();
        for (let at = 3; at < pixels.length; at += 4) seen.add(pixels[at]); return seen.size""")
    assert colours > 8, f"the heat map has {colours} shades"
    page.js("document.querySelector('canvas.heat').focus()")
    page.keys(Keys.ARROW_RIGHT)
    first = page.wait("a cell is read out", lambda: "looks at" in page.text(".readout") and page.text(".readout"))
    page.keys(Keys.ARROW_RIGHT)
    page.wait("the next cell is read out", lambda: page.text(".readout") != first)
    page.click(".head:nth-child(2)")
    page.wait("the second head is shown", lambda: "head 2" in page.one("canvas.heat").get_attribute("aria-label"))
    page.click(".layers button:last-child")
    last = page.text(".layers button:last-child")
    page.wait("the last layer is shown", lambda: f"layer {last}," in page.one("canvas.heat").get_attribute("aria-label"))
    page.save_whole("inspector-1280", 1280)


def keys_do_everything(page, api):
    page.open(f"/#c={urllib.parse.quote(api.name)}")
    page.wait_for("#hits .hit")
    focused = lambda: page.js(
        "const hits = [...document.querySelectorAll('#hits .hit')]; return hits.indexOf(document.activeElement.closest('.hit'))"
    )
    page.keys("/")
    page.wait("the question has the focus", lambda: page.js("return document.activeElement.id") == "query")
    page.keys(api.query, Keys.ENTER)
    count = len(api.search()["hits"])
    page.wait("hits are there", lambda: len(page.all("#hits .hit-rank")) == count)
    page.keys(Keys.ARROW_DOWN)
    assert focused() == 0, focused()
    page.keys("j" if count > 1 else "k")
    page.keys("k" if count > 1 else Keys.ARROW_DOWN)
    assert focused() == 0, focused()
    page.keys("e")
    page.wait_for(".explain-tree")
    page.keys(Keys.ESCAPE)
    page.wait(
        "the explanation is closed", lambda: page.js("return document.querySelector('.explain-host').hidden") and focused() == 0
    )
    page.keys(Keys.ENTER)
    page.wait_for("#document-text")
    page.keys(Keys.ESCAPE)
    page.wait("the hit has the focus again", lambda: focused() == 0)
    page.keys("?")
    page.wait_for("dialog[open]")
    page.keys(Keys.ESCAPE)
    page.wait("the list of keys is closed", lambda: not page.all("dialog[open]"))
    page.keys("2")
    page.wait_for("#view-status h1")


def the_address_holds_the_state(page, api):
    page.open(api.address(q=api.query))
    page.wait_for("#hits .hit")
    page.js("document.querySelector('input[value=lexical]').click()")
    page.wait("the address says lexical", lambda: "mode=lexical" in page.driver.current_url)
    page.js("document.querySelector('[data-tab=status]').click()")
    page.wait_for("#view-status .numbers")
    page.driver.back()
    page.wait_for("#hits .hit")
    checked = lambda: page.js("return document.querySelector('#modes input:checked')?.value")
    assert checked() == "lexical"
    page.driver.back()
    page.wait("hybrid is chosen again", lambda: checked() == "hybrid")
    page.driver.forward()
    page.wait("lexical is chosen again", lambda: checked() == "lexical")
    page.driver.refresh()
    page.wait_for("#hits .hit")
    assert checked() == "lexical" and page.one("#query").get_attribute("value") == api.query


def words_are_completed(page, api):
    prefix = api.query.split()[-1][:4]
    words = [
        one["word"]
        for one in api.get("/complete", collection=api.name, prefix=prefix, limit=7)["words"]
        if one["word"] != prefix
    ]
    if not words:
        raise Skipped(f"the server completes {prefix!r} to nothing")
    page.open(f"/#c={urllib.parse.quote(api.name)}")
    page.wait_for("#hits .hit")
    page.fill("#query", prefix)
    page.wait_for("#completions [role=option]")
    page.keys(Keys.ARROW_DOWN)
    assert page.one("#query").get_attribute("aria-activedescendant") == "completion-0"
    page.save("completion-1280")
    page.keys(Keys.ENTER)
    assert page.one("#query").get_attribute("value").strip() == words[0]


def offsets_and_filters_hold(page, api):
    """Laws of the modules that count bytes and take filters apart."""
    page.open("/")
    letters = "aé한🚢𐍈 \n"
    rng = random.Random(7)
    texts = ["".join(rng.choice(letters) for _ in range(rng.randrange(30))) for _ in range(200)]
    page.js_async(
        """const { toStringOffsets, pieces } = await import('/assets/bytes.js');
        for (const text of given[0]) {
          const bytes = new TextEncoder().encode(text);
          const offsets = [...bytes.keys(), bytes.length].filter((at) => (bytes[at] & 0xc0) !== 0x80);
          offsets.forEach((offset, place) => {
            const at = toStringOffsets(text, [...offsets].reverse())[offsets.length - 1 - place];
            const expected = new TextDecoder().decode(bytes.slice(0, offset));
            if (text.slice(0, at) !== expected) throw new Error(`${JSON.stringify(text)} at ${offset}`);
          });
          const half = Math.floor(text.length / 2);
          const cut = pieces(text, { a: [[0, half]], b: [[1, text.length]] }).map((piece) => piece.text).join('');
          if (cut !== text) throw new Error(`pieces of ${JSON.stringify(text)}`);
        }
        const { clause, toggled, has } = await import('/assets/filter.js');
        for (const value of ['ko', 'a b', 'say "hi"', 'back\\\\slash', '2020-05-01T10:00:00Z', '-5', 'AND', '한국']) {
          for (const before of ['', 'lang:en', 'lang:(ko OR en) AND NOT year:[2019 TO 2021]', 'a:"x AND y"']) {
            const on = toggled(before, clause('f', value));
            const isHeld = has(on, clause('f', value)) && toggled(on, clause('f', value)) === before;
            if (!isHeld) throw new Error(`${before} + ${value}: ${on}`);
          }
        }""",
        texts,
    )


def themes(page, api):
    page.prefer("dark")
    page.open(api.address(q=api.query))
    page.wait_for("#hits .hit")
    light = lambda: (
        sum(page.js("return getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")[:3]) > 380
    )
    assert not light(), "the system is dark and the page is not"
    page.click("#theme")
    page.wait("the page is light by choice", light)
    page.driver.refresh()
    page.wait_for("#hits .hit")
    assert light(), "the choice is gone after a reload"
    page.click("#theme")
    page.click("#theme")
    page.wait("the page is as the system again", lambda: not light())
    page.prefer("light", "reduce")
    still = page.js("return getComputedStyle(document.querySelector('#hits')).transitionDuration")
    assert still in ("0s", "1e-05s"), f"motion although less is wanted: {still}"
    page.prefer("light")


def views_of(api):
    first = api.search()["hits"][0]
    return {
        "search": api.address(q=api.query),
        "documents": api.address(),
        "meaning": api.address(q=api.query, meaning="1"),
        "document": api.address(q=api.query, doc=first["document"], at=first["chunk"]["ordinal"]),
        "status": api.address(tab="status"),
        "inspector": api.address(tab="inspector"),
        "docs": "/docs",
    }


READY = {
    "search": "#hits .hit",
    "documents": "#hits .hit",
    "meaning": "#hits .hit",
    "document": ".piece",
    "status": ".gauge",
    "inspector": "canvas.heat",
    "docs": ".operation",
}


def every_view_fits_and_is_accessible(page, api):
    found = []
    for width in (1280, 390, 360):
        for scheme in ("light", "dark"):
            page.resize(width)
            page.prefer(scheme)
            for view, address in views_of(api).items():
                page.open(address)
                page.wait_for(READY[view])
                time.sleep(0.15)
                if view == "search":
                    page.click("[data-action=explain]")
                    page.wait_for(".explain-tree")
                wide = page.js("return document.documentElement.scrollWidth")
                if wide > width:
                    found.append(f"{view} at {width}: {wide} wide")
                found += [f"{view} at {width}, {scheme}: {problem}" for problem in accessibility.problems(page)]
                found += [f"{view}: {fault}" for fault in page.faults()]
                if width != 360:
                    page.save(f"{view}-{width}-{scheme}")
    page.resize(1280)
    page.prefer("light")
    assert not found, "\n  ".join(["", *found])


def docs_list_operations(page, api):
    description = api.get("/openapi.json")
    methods = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
    operations = sum(1 for path in description["paths"].values() for name in path if name in methods)
    page.open("/docs")
    page.wait_for(".operation")
    assert len(page.all(".operation")) == operations == len(page.all("#index a"))
    page.save_whole("docs-1280", 1280)


TESTS = [
    search_shows_hits,
    highlights_are_where_the_server_says,
    meaning_is_underlined,
    explanation_adds_up,
    negative_parts_lie_left_of_zero,
    facets_filter,
    document_scrolls_to_the_passage,
    status_is_drawn,
    inspector_shows_tokens_and_attention,
    keys_do_everything,
    the_address_holds_the_state,
    words_are_completed,
    offsets_and_filters_hold,
    themes,
    docs_list_operations,
    every_view_fits_and_is_accessible,
]
