"""A stand-in for `berth serve`: the page, with answers of the same shape from a handful of documents.

    python3 tests/page/mock.py [--port N] [--key KEY] [--empty]

Questions with `!` make it misbehave: `!500`, `!429` (twice, then it answers), `!slow`, `!none`. Standard library only.
"""

import argparse
import http.server
import json
import threading
import urllib.parse
from pathlib import Path

from mock_answers import Collection, Refusal, attention, byte, chunks_of, tokens_of, words
from mock_data import DOCUMENTS, MORE, OPENAPI

PAGE = Path(__file__).resolve().parents[2] / "crates" / "server" / "page"
DAMAGE = "the manifest of generation 7 does not have the checksum that it says"
CSP = "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except ConnectionResetError:
            pass  # The browser closed a connection that it kept.

    def do_GET(self):
        self.answer(None)

    def do_POST(self):
        self.answer(json.loads(self.rfile.read(int(self.headers.get("content-length", 0)))))

    def answer(self, body):
        path, _, query = self.path.partition("?")
        asked = {name: values[0] for name, values in urllib.parse.parse_qs(query).items()}
        try:
            if path in ("/", "/docs") or path.startswith("/assets/"):
                return self.file({"/": "index.html", "/docs": "docs.html"}.get(path) or path.removeprefix("/assets/"))
            if self.server.key and self.headers.get("authorization") != f"Bearer {self.server.key}":
                raise Refusal(401, "unauthenticated", "this needs a key: Authorization: Bearer KEY")
            return self.send(200, json.dumps(self.route(path, asked, body)).encode(), "application/json")
        except Refusal as refusal:
            also = {"Retry-After": str(refusal.retry_after)} if refusal.retry_after else {}
            return self.send(refusal.status, json.dumps(refusal.body).encode(), "application/json", also)

    def route(self, path, asked, body):
        named = {one.name: one for one in self.server.collections}

        def collection(name):
            if name not in named:
                raise Refusal(404, "not_found", f"there is no collection {name!r}")
            return named[name]

        if path == "/collections":
            wreck = {"name": "wreck", "documents": None, "chunks": None, "model": None, "state": "failed", "error": DAMAGE}
            summaries = [one.summary() for one in self.server.collections]
            return {"collections": [*summaries, wreck] if summaries else []}
        if path == "/collections/wreck":
            raise Refusal(500, "corrupted", DAMAGE)
        if path.startswith("/collections/"):
            return collection(urllib.parse.unquote(path.split("/")[2])).info()
        if path == "/search":
            return collection(body["collection"]).search(body)
        if path == "/complete":
            known = sorted(
                {word for document, *_ in collection(asked["collection"]).chunks for word, _, _ in words(document["text"])}
            )
            return {
                "words": [
                    {"word": word, "passages": 1 + len(word) % 5} for word in known if word.startswith(asked["prefix"].lower())
                ][: int(asked["limit"])]
            }
        if path == "/documents":
            return document_answer(collection(asked["collection"]), asked)
        if path == "/v1/models":
            return {
                "object": "list",
                "data": [
                    {"id": name, "object": "model", "created": 0, "owned_by": "berth"}
                    for name in ("all-minilm-l6-v2", "splade-tiny")
                ],
            }
        if path == "/tokenize":
            return [tokens_of(body["inputs"])]
        if path == "/inspect/attention":
            return attention(body["text"], body.get("layer"))
        if path == "/openapi.json":
            return OPENAPI
        raise Refusal(404, "not_found", f"there is nothing at {path}")

    def file(self, name):
        path = PAGE / name
        if path.parent != PAGE or not path.is_file():
            raise Refusal(404, "not_found", f"there is no file {name}")
        self.send(200, path.read_bytes(), f"{TYPES[path.suffix]}; charset=utf-8", {"Content-Security-Policy": CSP})

    def send(self, status, payload, kind, also=None):
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(payload)),
            "X-Content-Type-Options": "nosniff",
            **(also or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(payload)
        except (BrokenPipeError, ConnectionResetError):
            pass  # The page gave the question up for a newer one.


def document_answer(collection, asked):
    if "id" not in asked:
        ids = sorted(document["id"] for document in collection.documents)
        after = [one for one in ids if one > asked.get("after", "")]
        limit = int(asked.get("limit", 20))
        title = {document["id"]: document["title"] for document in collection.documents}
        page = after[:limit]
        return {
            "documents": [{"id": one, "title": title[one]} for one in page],
            "next": page[-1] if len(after) > limit else None,
        }
    for document in collection.documents:
        if document["id"] == asked["id"]:
            text = document["text"]
            chunks = [
                {"ordinal": ordinal, "start": byte(text, start), "end": byte(text, end), "tokens": (end - start) // 4}
                for ordinal, (start, end) in enumerate(chunks_of(text))
            ]
            return {
                "id": document["id"],
                "title": document["title"],
                "text": text,
                "source": document["source"],
                "chunks": chunks,
                "metadata": {name: document[name] for name in ("lang", "year", "kind")},
            }
    raise Refusal(404, "not_found", f"there is no document {asked['id']!r}")


def serve(port=0, key=None, empty=False):
    """Starts a server on loopback in a thread; `server.url` says where."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.key = key
    server.collections = (
        []
        if empty
        else [
            Collection("handbook", DOCUMENTS),
            Collection(
                "library",
                DOCUMENTS + MORE,
                sparse="splade-tiny",
                needs_viewer=True,
                status={"graph_rows": 49, "graph_recall@10": 0.973, "token_rows": 4_120, "token_bytes": 391_400},
            ),
        ]
    )
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", help="answer 401 to requests without this key")
    parser.add_argument("--empty", action="store_true", help="have no collection")
    given = parser.parse_args()
    print(serve(given.port, given.key, given.empty).url, flush=True)
    threading.Event().wait()
