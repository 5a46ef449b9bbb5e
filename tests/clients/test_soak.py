"""A minute of everything at once: nothing fails that should not, and memory and descriptors stay where they are.

With BERTH_LONG=1 it takes ten. What is sampled every second is judged over the last two thirds, after caches and pools have
filled. In the long run the line through the samples may rise by at most 1 % of the memory a minute and 0.05 descriptors a
second. In the short one pools still fill, and connections that come and go are most of what is counted: it lets 15 % and 0.25
pass, which a leak of eight kilobytes a request does not keep to. In both all descriptors are given back in the end.
"""

import contextlib
import itertools
import os
import random
import re
import threading
import time

import grpc
import pytest

from documents import DOCUMENTS, QUESTIONS
from safety import MIB, Daemon, Protocol
from wire import Http2

LONG = os.environ.get("BERTH_LONG") == "1"
SECONDS = 600 if LONG else 60
MEMORY_A_MINUTE, DESCRIPTORS_A_SECOND = (0.01, 0.05) if LONG else (0.15, 0.25)
# Documents that are written, and written again, and removed.
POOL = 150
CODE = grpc.StatusCode


class Mixed(threading.Thread):
    """Asks one thing after the other, chosen by a seed, and notes what was not answered as it should be."""

    def __init__(self, server, protocol, seed):
        super().__init__(daemon=True)
        self.server, self.protocol, self.random = server, protocol, random.Random(seed)
        self.over, self.counts, self.unexpected = threading.Event(), {}, []
        self.own = f"soak{seed}"
        self.deeds = [deed for name in sorted(dir(self)) if name.startswith("do_") for deed in [getattr(self, name)]]

    def run(self):
        self.connection, self.channel = self.server.connection(), self.server.channel()
        while not self.over.is_set():
            deed = self.random.choice(self.deeds)
            try:
                deed()
            except Exception as error:
                self.unexpected.append(f"{deed.__name__}: {error!r}")
                if len(self.unexpected) > 20:
                    break
            self.counts[deed.__name__] = self.counts.get(deed.__name__, 0) + 1
            # A person's pace: the machine is there for others too.
            time.sleep(self.random.random() * 0.05)
        self.connection.close()
        self.channel.close()

    def http(self, method, path, body=None, statuses=(200,), headers=()):
        answer = self.server.http(method, path, body, on=self.connection, headers=headers)
        assert answer.status in statuses, (method, path, answer)
        return answer

    def ask(self, name, fields, code=CODE.OK):
        try:
            answer = self.protocol.ask(self.channel, name, fields)
        except grpc.RpcError as error:
            assert error.code() == code, (name, error.code(), error.details())
            return None
        assert code == CODE.OK, (name, "was answered")
        return answer

    def question(self):
        return f"{self.random.choice(QUESTIONS)} {self.random.randrange(1000)}"

    def do_search(self):
        mode = self.random.choice(["hybrid", "dense", "lexical"])
        body = {"collection": "soaked", "query": self.question(), "mode": mode, "facets": ["lang"]}
        assert self.http("POST", "/search", body).json["hits"] is not None

    def do_search_grpc(self):
        assert self.ask("SearchService/Search", {"collection": "soaked", "query": self.question()}).hits

    def do_batch(self):
        requests = [{"collection": "soaked", "query": self.question()}, {"collection": "none", "query": "x"}]
        assert len(self.ask("SearchService/BatchSearch", {"requests": requests}).answers) == 2

    def do_embed(self):
        texts = [self.question()] * self.random.randint(1, 12)
        assert len(self.http("POST", "/v1/embeddings", {"input": texts}).json["data"]) == len(texts)

    def do_embed_stream(self):
        begin, request = self.protocol.begin(self.channel, "ModelService/EmbedStream")
        answers = list(begin(iter([request({"inputs": [self.question()]})] * 3), timeout=60))
        assert len(answers) == 3

    def do_rerank(self):
        self.http("POST", "/v1/rerank", {"query": "ship", "documents": ["a ship", "no"], "model": "cross"})

    def do_rerank_with_nonsense(self):
        self.http("POST", "/v1/rerank", {"query": "ship", "documents": ["a"],
                                         "model": f"nonsense-{self.random.randrange(10**9)}"}, [404])

    def do_put(self):
        documents = [{"id": f"{self.own}-{self.random.randrange(POOL)}",
                      "text": f"{self.question()} {self.random.random()}"} for _ in range(self.random.randint(1, 5))]
        unique = list({document["id"]: document for document in documents}.values())
        answer = self.http("POST", "/documents", {"collection": "soaked", "documents": unique}).json
        assert answer["added"] + answer["changed"] == len(unique), answer

    def do_put_stream(self):
        begin, request = self.protocol.begin(self.channel, "DocumentService/Index")
        one = lambda: {"collection": "soaked", "documents": [{"id": f"{self.own}-{self.random.randrange(POOL)}",
                                                              "text": self.question()}]}
        answers = list(begin((request(one()) for _ in range(3)), timeout=60))
        assert answers[-1].durable_documents == 3

    def do_delete(self):
        ids = [f"{self.own}-{self.random.randrange(POOL)}" for _ in range(3)]
        self.http("POST", "/documents/delete", {"collection": "soaked", "ids": ids})

    def do_get(self):
        self.http("GET", f"/documents?collection=soaked&id={self.own}-{self.random.randrange(POOL)}", statuses=[200, 404])
        assert self.http("GET", "/documents?collection=soaked&id=harbour").json["id"] == "harbour"

    def do_lists(self):
        for path in ["/collections", "/collections/soaked", "/documents?collection=soaked&limit=50",
                     "/complete?collection=soaked&prefix=s", "/metrics", "/v1/models", "/"]:
            self.http("GET", path)

    def do_errors(self):
        self.http("POST", "/search", b"{nonsense", [400], {"content-type": "application/json"})
        self.http("GET", f"/nothing/{self.random.randrange(10**9)}", statuses=[404])
        self.http("GET", f"/search?collection=none-{self.random.randrange(10**9)}&q=x", statuses=[404])
        self.http("POST", "/search", {"collection": "soaked", "query": "x", "filter": "lang:("}, [400])
        self.ask("AdminService/GetJob", {"id": f"none-{self.random.randrange(10**9)}"}, CODE.NOT_FOUND)
        self.ask("ModelService/Embed", {"inputs": ["a"], "model": "none"}, CODE.NOT_FOUND)
        self.http("POST", "/embed", {"inputs": "word " * 5000}, [400, 413, 422])
        self.http("POST", "/embed", {"inputs": self.question()}, [200, 504], {"x-timeout-ms": "1"})

    def do_mcp(self):
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search",
            "arguments": {"query": "ship", "collection": "soaked"}}}
        assert "result" in self.http("POST", "/mcp", call, headers={"accept": "application/json, text/event-stream"}).json

    def do_drop_connections(self):
        for data in [b"", b"GET /he", b"POST /search HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{",
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01"]:
            with contextlib.closing(self.server.socket()) as connection:
                connection.sendall(data)

    def do_cancel(self):
        begin, request = self.protocol.begin(self.channel, "ModelService/Embed")
        call = begin.future(request({"inputs": [self.question() * 10] * 16}), timeout=60)
        time.sleep(self.random.random() * 0.02)
        call.cancel()
        with Http2(self.server) as client:
            stream = client.request("/v1/embeddings", [("content-type", "application/json")],
                                    b'{"input": ["a ship", "a crane"]}')
            client.h2.reset_stream(stream, 8)
            client.flush()
        with contextlib.closing(self.server.socket()) as connection:
            connection.sendall(b"GET /search?collection=soaked&q=ship HTTP/1.1\r\nhost: localhost\r\n\r\n")


def slope(samples):
    """Of the line of least squares through `(seconds, value)`."""
    mean = lambda values: sum(values) / len(values)
    at, value = mean([at for at, _ in samples]), mean([value for _, value in samples])
    return sum((x - at) * (y - value) for x, y in samples) / sum((x - at) ** 2 for x, _ in samples)


@pytest.fixture(scope="module")
def place(world):
    world.index("soaked", DOCUMENTS)
    return world


def test_metrics_that_nobody_reads_cost_nothing(place):
    """Whoever is never asked for metrics keeps no samples of them: 300,000 more requests leave no trace in memory."""
    many = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n" * 500
    with Daemon(place, "--index", "soaked") as server, contextlib.closing(server.socket()) as connection:

        def ask(thousands):
            for _ in range(2 * thousands):
                connection.sendall(many)
                answered, rest = 0, b""
                while answered < 500:
                    data = rest + connection.recv(1 << 20)
                    assert data != rest, "the connection ended"
                    # The words may come in two parts.
                    answered, rest = answered + data.count(b"HTTP/1.1 200"), data[-11:]
            # What is thrown away is so within seconds.
            time.sleep(3)

        # Samples wait for the next throwing away, so that as many make the server as large as it gets.
        ask(300)
        before = server.anonymous()
        ask(300)
        grown = server.anonymous() - before
        assert grown < 2.5 * MIB, f"{grown / MIB:.1f} MiB for 300,000 requests"


def test_soak(place):
    with Daemon(place, "--index", "soaked", "--max-wait", 60_000, "--max-queue", 10_000) as server:
        protocol = Protocol(server)
        quiet = server.descriptors()
        workers = [Mixed(server, protocol, seed) for seed in range(6)]
        for worker in workers:
            worker.start()
        memory, descriptors, began = [], [], time.monotonic()
        for tick in itertools.count(1):
            time.sleep(max(0, began + tick - time.monotonic()))
            memory.append((tick, server.anonymous()))
            descriptors.append((tick, server.descriptors()))
            if tick >= SECONDS or any(len(worker.unexpected) > 20 for worker in workers):
                break
        for worker in workers:
            worker.over.set()
        for worker in workers:
            worker.join(70)
            assert not worker.is_alive(), "a request is not answered"
        unexpected = [line for worker in workers for line in worker.unexpected]
        counts = {name: sum(worker.counts.get(name, 0) for worker in workers) for name in workers[0].counts}
        last = lambda samples: samples[len(samples) // 3:]
        grows = slope(last(memory)) * 60 / memory[-1][1]
        opens = slope(last(descriptors))
        print(f"{sum(counts.values())} deeds in {SECONDS} s; "
              f"memory {memory[0][1] / MIB:.0f} to {memory[-1][1] / MIB:.0f} MiB, {grows:+.2%} a minute; "
              f"descriptors {descriptors[0][1]} to {descriptors[-1][1]}, {opens:+.3f} a second")
        assert not unexpected, f"{len(unexpected)} unexpected: {unexpected[:10]}"
        assert min(counts.values()) > 0 and len(counts) == len(workers[0].deeds), counts
        samples = [round(value / MIB) for _, value in memory]
        assert grows < MEMORY_A_MINUTE, f"memory grows by {grows:.2%} a minute: {samples}"
        samples = [value for _, value in descriptors]
        assert opens < DESCRIPTORS_A_SECOND, f"descriptors grow by {opens:.3f} a second: {samples}"
        given_back = lambda: server.descriptors() <= quiet + 8
        server.until(given_back, "descriptors are still held by requests that are over", 20)
        assert "te_queue_size 0" in server.http("GET", "/metrics").text
        errors = [line for line in server.log if re.search(r"\b(ERROR|panicked)\b", line)]
        assert not errors, errors[:5]
        found = server.http("GET", "/search?collection=soaked&q=a+ship+waits+for+a+free+berth").json["hits"]
        assert found[0]["document"] == "harbour"
    place.run("verify", "--index", "soaked")
