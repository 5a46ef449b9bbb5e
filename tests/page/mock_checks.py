"""What only a server that misbehaves on demand can show: errors, hostile texts, late answers, many documents, viewers."""

import json
import time

import mock
import mock_data


def hostile_text_stays_text(page, api):
    hostile = mock_data.HOSTILE
    page.open(api.address(q="snapshot markup", meaning="1"))
    page.wait("the hostile hit is there", lambda: hostile["title"] in page.texts("#hits .hit-title"))
    assert hostile["lang"] in page.texts(".facet-name"), page.texts(".facet-name")
    assert not page.all("#hits img, #hits b:not(.hit-score b), #side i, #hits script")
    page.js(
        """[...document.querySelectorAll('#hits .hit')].find((hit) => hit.dataset.document === arguments[0])
        .querySelector('[data-action=explain]').click()""",
        hostile["id"],
    )
    page.wait_for(".explain-tree")
    page.js("[...document.querySelectorAll('.facet-value')].find((one) => one.textContent.startsWith('<i>')).click()")
    page.wait("only the hostile hit is left", lambda: page.texts("#hits .hit-title") == [hostile["title"]])
    page.click("#hits .hit-title a")
    page.wait_for("#document-text .piece")
    assert "".join(page.texts("#document-text .piece")) == hostile["text"]
    assert page.text("#document-heading") == hostile["title"]
    page.open(api.address(tab="inspector", text=hostile["text"]))
    page.wait_for(".token")
    page.open("/#c=%3Cimg%20src%3Dx%3E&q=%3Cscript%3E")
    page.wait_for(".trouble")
    assert page.js("return window.pwned") is None


hostile_text_stays_text.expected_statuses = (404,)


def late_answers_are_dropped(page, api):
    page.open(api.address())
    page.wait_for("#hits .hit")
    page.fill("#query", "!slow ice")
    time.sleep(0.4)
    page.fill("#query", "pilots")
    expected = [hit["title"] for hit in api.call("/search", {"query": "pilots", "collection": api.name})["hits"]]
    page.wait("the newer answer is there", lambda: page.texts("#hits .hit-title") == expected)
    time.sleep(1.6)
    assert page.texts("#hits .hit-title") == expected, "an answer that came late replaced a newer one"


def one_question_is_one_step_back(page, api):
    page.open(api.address())
    page.wait_for("#hits .hit")
    for letter in "pilots":
        page.one("#query").send_keys(letter)
        time.sleep(0.2)
    page.wait("hits are there", lambda: page.texts("#hits .hit-rank"))
    page.driver.back()
    page.wait("one step back leads to the list of documents", lambda: page.one("#query").get_attribute("value") == "")


def busy_server_is_asked_again(page, api):
    page.open(api.address(q="!429 snapshot"))
    page.wait_for(".trouble[data-code=overloaded]")
    assert "waiting" in page.text(".trouble-message")
    page.save("busy-1280")
    page.wait_for("#hits .hit")
    assert not page.all(".trouble")


busy_server_is_asked_again.expected_statuses = (429,)


def failures_say_what_to_do(page, api):
    page.open(api.address(q="!500"))
    page.wait_for(".trouble[data-code=internal]")
    assert "segment" in page.text(".trouble-message") and page.all(".trouble button")
    page.save("failure-1280")
    page.fill("#query", "snapshot")
    page.wait_for("#hits .hit")
    assert not page.all(".trouble")
    page.fill("#filter", "nonsense:1")
    page.wait("the filter is called wrong", lambda: "no field" in page.text("#filter-state"))
    assert page.all("#hits .hit"), "the hits are gone while a filter is half typed"
    page.open(api.address(doc="not-there"))
    page.wait_for(".trouble[data-code=not_found]")
    page.open("/#c=wreck")
    page.wait_for(".trouble[data-code=corrupted]")
    assert "berth verify" in page.text(".trouble")
    page.save("damaged-1280")
    page.click("#trouble .empty a")
    page.wait_for("#hits .hit")


failures_say_what_to_do.expected_statuses = (400, 404, 500)


def what_is_wrong_is_said_again(page, api):
    """The inspector does without a collection, and views that do not say so when they are come back to."""
    page.open("/#c=nowhere")
    page.wait_for(".trouble[data-code=not_found]")
    page.js("location.hash = '#c=nowhere&tab=inspector'")
    page.wait_for(".token")
    assert not page.js("return document.getElementById('trouble').getClientRects().length")
    for tab in ("status", ""):
        page.js("location.hash = arguments[0]", f"#c=nowhere&tab={tab}")
        page.wait_for("#trouble .trouble[data-code=not_found]")
        page.js("location.hash = '#c=nowhere&tab=inspector'")
        page.wait_for(".token")
    page.js("location.hash = arguments[0]", api.address(q=api.query)[1:])
    page.wait_for("#hits .hit")


what_is_wrong_is_said_again.expected_statuses = (404,)


def long_texts_come_layer_by_layer(page, api):
    page.open(api.address(tab="inspector", text="The pilot boards the ship before it berths. " * 7))
    page.wait_for("canvas.heat")
    page.click(".layers button:nth-child(3)")
    page.wait("the third layer is shown", lambda: "layer 3," in page.one("canvas.heat").get_attribute("aria-label"))
    page.open(api.address(tab="inspector", text="The pilot boards the ship before it berths. " * 20))
    page.wait("it is said that the text is too long", lambda: "more than 128" in page.text("#view-inspector .notice"))
    assert page.all(".token"), "the tokens of a long text are not shown"


long_texts_come_layer_by_layer.expected_statuses = (413,)


def suggestions_are_taken(page, api):
    page.open(api.address(q="snapshott"))
    page.wait_for(".suggestion button")
    page.click(".suggestion button")
    page.wait("the suggestion is the question", lambda: page.one("#query").get_attribute("value") == "snapshot")
    page.wait_for("#hits .hit")


def nothing_found_is_said(page, api):
    page.open(api.address(q="!none", mode="lexical", filter="lang:ko"))
    page.wait_for("#hits .empty")
    page.save("nothing-1280")
    page.click("#hits .empty button")
    page.wait("the filter is gone", lambda: page.one("#filter").get_attribute("value") == "")


def another_collection_is_shown(page, api):
    page.open(api.address(q="snapshot"))
    page.wait_for("#hits .hit")
    page.js(
        "const choice = document.querySelector('#collection'); choice.value = 'library';"
        "choice.dispatchEvent(new Event('change'))"
    )
    page.wait_for("#modes input[value=sparse]")
    page.wait_for("#viewers")
    assert page.all("input[name=late]"), "late interaction is not offered where there are token rows"
    page.fill("#viewers", "alice, staff\n")
    page.wait(
        "who asks is kept",
        lambda: (
            json.loads(page.js("return sessionStorage.getItem('berth-viewers')") or "{}").get("principals")
            == ["alice", "staff"]
        ),
    )
    assert "alice" not in page.driver.current_url
    page.click("#clear")
    page.wait("there are more documents than a page", lambda: len(page.all("#hits .hit")) == 20)
    page.click("#hits > .button")
    page.wait("the next page is there", lambda: len(page.all("#hits .hit")) == 40)
    page.js("sessionStorage.removeItem('berth-viewers')")


def a_key_is_asked_for(page, api):
    server = mock.serve(key="open sesame")
    page.open("/")
    page.driver.get(server.url)
    page.wait_for("form[data-code=unauthenticated]")
    page.save("key-1280")
    page.fill("#key", "wrong\n")
    page.wait("the key is refused", lambda: "refused" in page.text(".trouble h2"))
    page.fill("#key", "open sesame\n")
    page.wait_for("#hits .hit")
    assert page.js(
        "return [sessionStorage.length, Object.values(localStorage).filter((one) => one.includes('sesame')).length]"
    ) == [1, 0]
    server.shutdown()


a_key_is_asked_for.expected_statuses = (401,)


def no_collection_says_how(page, api):
    server = mock.serve(empty=True)
    page.driver.get(server.url)
    page.wait_for(".empty")
    assert "berth index DIR --index NAME.berth" in page.text(".empty pre") and "berth serve --index NAME.berth" in page.text(
        ".empty pre"
    )
    page.save("empty-1280")
    page.driver.get(f"{server.url}/#tab=inspector")
    page.wait_for("canvas.heat")
    server.shutdown()


TESTS = [
    hostile_text_stays_text,
    late_answers_are_dropped,
    one_question_is_one_step_back,
    busy_server_is_asked_again,
    failures_say_what_to_do,
    what_is_wrong_is_said_again,
    long_texts_come_layer_by_layer,
    suggestions_are_taken,
    nothing_found_is_said,
    another_collection_is_shown,
    a_key_is_asked_for,
    no_collection_says_how,
]
