"""Writers that note what the server has acknowledged, and the check that all of it is there."""

import itertools
import json
import queue
import random
import threading

import grpc

# Messages of a stream that may be sent before the first of them is acknowledged.
AHEAD = 8
SECONDS = 30


def word(id, version):
    """Stands in this version of this document, and nowhere else."""
    return f"zq{id.replace('-', 'x')}v{version}zq"


def document(id, version):
    return {"id": id, "title": f"version {version}",
            "text": f"The {word(id, version)} is written by a writer of its own."}


class Writer(threading.Thread):
    """Writes documents that nobody else writes, until the server is gone or it is told to end."""

    def __init__(self, server, protocol, name, ledger):
        super().__init__(daemon=True)
        self.server, self.protocol, self.label, self.ledger = server, protocol, name, ledger
        self.random, self.over, self.error = random.Random(name), threading.Event(), None
        # By id: the version that was acknowledged (None: that it is gone), and those that were sent after it.
        self.acknowledged, self.sent, self.count = ledger.acknowledged, ledger.sent, 0

    def run(self):
        try:
            self.write()
        except (OSError, grpc.RpcError) as error:
            self.error = error
        except Exception as error:
            # Answers that are cut in their middle.
            self.error = error

    def next_documents(self):
        """Some new documents, and now and then one that was there before."""
        documents = []
        for _ in range(self.random.randint(1, 4)):
            again = self.count and self.random.random() < 0.3
            number = self.random.randrange(self.count) if again else self.count
            self.count += not again
            id = f"{self.label}-{number}"
            version = self.ledger.next_version(id)
            documents = [other for other in documents if other["id"] != id] + [document(id, version)]
            self.sent.setdefault(id, []).append(version)
        return documents

    def note(self, documents):
        for written in documents:
            id, version = written["id"], int(written["title"].split()[1])
            self.acknowledged[id] = version
            self.sent[id] = [later for later in self.sent[id] if later > version]


class HttpWriter(Writer):
    """Puts over HTTP; every third time takes some of its own documents out again."""

    def write(self):
        connection = self.server.connection(SECONDS)
        ask = lambda path, body: self.server.http("POST", path, body, on=connection, timeout=SECONDS)
        for turn in itertools.count():
            if self.over.is_set():
                return
            documents = self.next_documents()
            answer = ask("/documents", {"collection": self.ledger.collection, "documents": documents})
            if answer.status != 200:
                raise OSError(f"{answer}")
            assert not answer.json["rejected"], answer
            self.note(documents)
            if turn % 3 == 2:
                ids = self.random.sample([f"{self.label}-{number}" for number in range(self.count)], min(2, self.count))
                for id in ids:
                    self.sent[id] = [*self.sent.get(id, []), None]
                answer = ask("/documents/delete", {"collection": self.ledger.collection, "ids": ids})
                if answer.status != 200:
                    raise OSError(f"{answer}")
                for id in ids:
                    self.acknowledged[id], self.sent[id] = None, []


class StreamWriter(Writer):
    """Puts over a stream of gRPC, several messages ahead of what is acknowledged."""

    def write(self):
        messages, under_way, durable = queue.Queue(AHEAD), [], 0
        with self.server.channel() as channel:
            begin, request = self.protocol.begin(channel, "DocumentService/Index")

            def requests():
                while not self.over.is_set():
                    documents = self.next_documents()
                    under_way.append(documents)
                    messages.put(None)
                    yield request({"collection": self.ledger.collection, "documents": documents})

            for answer in begin(requests(), timeout=SECONDS):
                assert not answer.rejected, answer
                while durable < answer.durable_documents:
                    documents = under_way.pop(0)
                    durable += len(documents)
                    self.note(documents)
                    messages.get()
                assert durable == answer.durable_documents


class Ledger:
    """What has to be in a collection."""

    def __init__(self, protocol, collection):
        self.protocol, self.collection = protocol, collection
        self.acknowledged, self.sent, self.versions, self.checked = {}, {}, {}, set()

    def next_version(self, id):
        self.versions[id] = self.versions.get(id, 0) + 1
        return self.versions[id]

    def writers(self, server, round):
        kinds = [HttpWriter, HttpWriter, StreamWriter, StreamWriter]
        writers = [kind(server, self.protocol, f"r{round}w{number}", self) for number, kind in enumerate(kinds)]
        for writer in writers:
            writer.start()
        return writers

    def check(self, server, everything=False):
        """Every document has the version that was acknowledged, or one that was sent later; what is gone is gone."""
        ids = sorted(self.acknowledged if everything else set(self.acknowledged) - self.checked)
        with server.channel() as channel:
            stored = {}
            for first in range(0, len(ids), 1000):
                fields = {"collection": self.collection, "ids": ids[first:first + 1000]}
                for found in self.protocol.ask(channel, "DocumentService/Get", fields).documents:
                    stored[found.document.id] = int(found.document.title.split()[1])
                    assert found.document.text == document(found.document.id, stored[found.document.id])["text"]
            lost = [(id, self.acknowledged[id], self.sent[id], stored.get(id)) for id in ids
                    if stored.get(id) not in (self.acknowledged[id], *self.sent[id])]
            assert not lost, f"{len(lost)} of {len(ids)} writes are lost (id, acknowledged, sent later, found): {lost[:10]}"
            self._check_words(channel, stored, ids)
        # What came to be there of what was not acknowledged is what has to stay.
        for id in ids:
            self.acknowledged[id], self.sent[id] = stored.get(id), []
        self.checked |= set(ids)
        return len(ids)

    def _check_words(self, channel, stored, ids):
        """The words of what is there find it, and those of versions that went find nothing."""
        questions = [(id, version, version == stored.get(id)) for id in ids
                     for version in range(1, self.versions[id] + 1)]
        for first in range(0, len(questions), 500):
            some = questions[first:first + 500]
            request = lambda id, version: {"collection": self.collection, "query": word(id, version),
                                           "mode": "MODE_LEXICAL", "k": 2}
            fields = {"requests": [request(id, version) for id, version, _ in some]}
            answers = self.protocol.ask(channel, "SearchService/BatchSearch", fields).answers
            for (id, version, is_there), answer in zip(some, answers, strict=True):
                found = [hit.document for hit in answer.response.hits]
                expected = [id] if is_there else []
                assert found == expected, f"{word(id, version)}: found {found}, stored {stored.get(id)}; {answer}"
