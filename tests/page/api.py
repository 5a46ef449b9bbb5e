"""Asks the same server as the page does, to know what the page should show."""

import json
import urllib.error
import urllib.parse
import urllib.request


class Skipped(Exception):
    """What this server has nothing to check with; said aloud, never passed over."""


class Api:
    """One collection of a server, and the words to ask it."""

    def __init__(self, url, key, query, collection):
        self.url, self.key, self.query = url.rstrip("/"), key, query
        known = self.get("/collections")["collections"]
        assert known, f"{url} has no collection; serve one with `berth serve --index NAME.berth`"
        self.name = collection or known[0]["name"]
        self.info = self.get(f"/collections/{urllib.parse.quote(self.name)}")

    def get(self, path, **asked):
        return self.call(f"{path}?{urllib.parse.urlencode(asked)}" if asked else path, None)

    def search(self, **also):
        return self.call("/search", {"query": self.query, "collection": self.name, "k": 10, "mode": "hybrid", **also})

    def call(self, path, body):
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {self.key}"} if self.key else {})
        request = urllib.request.Request(self.url + path, None if body is None else json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} answered {error.code}: {error.read().decode()[:300]}") from error

    def address(self, **parts):
        return "/#" + urllib.parse.urlencode({"c": self.name, **parts}, quote_via=urllib.parse.quote)


def cut(text, start, end):
    """The part of a text between two offsets in bytes."""
    return text.encode()[start:end].decode(errors="replace")


def squeezed(text):
    return " ".join(text.split())
