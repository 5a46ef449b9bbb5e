"""Drives the page in a browser: `python3 tests/page/page_test.py [--url URL] [--key KEY] [--query WORDS] [--artifacts DIR]`.

With `--url` it looks at the server there, whatever it holds; without, at the mock server beside this file, and then also at
what only a mock can do on demand: errors, markup in titles, late answers. It needs Chromium and the package selenium.
"""

import argparse
import shutil
import sys
import tempfile
import time
import traceback

import mock
import mock_checks
import page_checks
from api import Api, Skipped
from browser import Page


def run(page, api, tests, failed, skipped):
    for test in tests:
        name = test.__name__.replace("_", " ")
        started = time.monotonic()
        try:
            test(page, api)
            faults = page.faults(getattr(test, "expected_statuses", ()))
            assert not faults, "\n  ".join(["the page complained:", *faults])
            print(f"ok       {name} ({time.monotonic() - started:.1f} s)", flush=True)
        except Skipped as reason:
            skipped.append(name)
            print(f"SKIPPED  {name}: {reason}", flush=True)
        except Exception as error:  # noqa: BLE001 - reported, and the others are run all the same
            failed.append(name)
            where = traceback.extract_tb(error.__traceback__)[1 if len(traceback.extract_tb(error.__traceback__)) > 1 else 0]
            print(f"FAILED   {name} (line {where.lineno}): {error}", flush=True)
            page.faults()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="the server to look at; the mock server when there is none")
    parser.add_argument("--key", help="an API key of that server")
    parser.add_argument("--collection", help="its first one when there is none")
    parser.add_argument("--query", default="snapshot", help="words that it finds something for")
    parser.add_argument("--artifacts", help="folder for screenshots; a temporary one when there is none")
    parser.add_argument("--only", help="run the tests whose names have this in them")
    given = parser.parse_args()
    artifacts = given.artifacts or tempfile.mkdtemp(prefix="berth-page-")
    server = mock.serve() if given.url is None else None
    url = server.url if server else given.url
    api = Api(url, given.key, given.query, given.collection)
    page = Page(url, artifacts, shutil.which("chromium"), shutil.which("chromedriver"))
    failed, skipped = [], []
    chosen = lambda tests: [test for test in tests if not given.only or given.only.replace(" ", "_") in test.__name__]
    try:
        if given.key:
            page.open("/")
            page.wait_for("form[data-code=unauthenticated]")
            page.fill("#key", given.key + "\n")
            page.wait_for("#hits .hit")
            faults = page.faults(expected_statuses=(401,))
            assert not faults, faults
        run(page, api, chosen(page_checks.TESTS), failed, skipped)
        if server:
            run(page, api, chosen(mock_checks.TESTS), failed, skipped)
        else:
            names = [test.__name__.replace("_", " ") for test in chosen(mock_checks.TESTS)]
            print(f"Not asked of a real server, only of the mock: {'; '.join(names)}")
    finally:
        page.close()
    print(f"{len(failed)} failed, {len(skipped)} skipped; screenshots are in {artifacts}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
