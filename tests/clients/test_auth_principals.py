"""Keys that are someone's: in a collection with access lists they show what that one may find, however it is asked for."""

import json

import grpc
import pytest

from operations import MCP_HEADERS, tool
from reflected import refused
from safety import Daemon, Protocol, create_key

CODE = grpc.StatusCode
# Each says a word of its own; `vessel` and a year are in all of them.
DOCUMENTS = [
    {"_id": "of-alice", "title": "Alice", "text": "The vessel alicium is moored.", "access": "alice", "year": 2001,
     "kind": "alicekind"},
    {"_id": "of-bob", "title": "Bob", "text": "The vessel bobium is moored.", "access": ["bob"], "year": 2002,
     "kind": "bobkind"},
    {"_id": "of-group", "title": "Group", "text": "The vessel groupium is moored.", "access": ["group:eng", "bob"],
     "year": 2003, "kind": "groupkind"},
    {"_id": "of-everyone", "title": "Everyone", "text": "The vessel commonium is moored.", "access": "everyone",
     "year": 2004, "kind": "commonkind"},
    {"_id": "of-nobody", "title": "Nobody", "text": "The vessel nobodium is moored.", "year": 2005, "kind": "nobodykind"},
]
ALL = {document["_id"] for document in DOCUMENTS}
SEEN = {"alice": {"of-alice", "of-group", "of-everyone"}, "bob": {"of-bob", "of-group", "of-everyone"},
        "stranger": {"of-everyone"}}
MODES = ["hybrid", "dense", "lexical", "sparse"]


@pytest.fixture(scope="module")
def place(world):
    world.index("closed", DOCUMENTS, "--access-field", "access", "--sparse-model", "splade")
    keys = {
        "alice": ["search", "--as", "alice,group:eng"], "bob": ["search", "--as", "bob"],
        "stranger": ["search", "--as", "carol"],
        "alice who may all": ["admin", "--as", "alice,group:eng"], "service": ["search"], "admin": ["admin"],
    }
    made = lambda words: create_key(world, "--scope", *words, file="people.toml")[0]
    world.keys_of_people = {name: made(words) for name, words in keys.items()}
    return world


@pytest.fixture(scope="module")
def server(place):
    with Daemon(place, "--index", "closed", "--keys", "people.toml") as server:
        yield server


@pytest.fixture(scope="module")
def protocol(server, place):
    return Protocol(server, place.keys_of_people["service"])


class Person:
    """Asks with a key, in every way in which documents can be asked for."""

    def __init__(self, server, protocol, key):
        self.server, self.protocol, self.key = server, protocol, key

    def http(self, method, path, body=None, status=200, **more):
        answer = self.server.http(method, path, body, key=self.key, **more)
        assert answer.status == status, (path, answer)
        return answer.json

    def grpc(self, name, fields):
        with self.server.channel(self.key) as channel:
            return self.protocol.ask(channel, name, fields)

    def mcp(self, name, **arguments):
        return self.http("POST", "/mcp", tool(name, **arguments), headers=MCP_HEADERS)["result"]

    def everything_shown(self, who=None):
        """Ids by way of asking, and all that was said in the answers."""
        ways, said = {}, []

        def note(way, answer, ids):
            said.append(answer if isinstance(answer, str) else json.dumps(answer))
            ways[way] = set(ids)

        more = {"principals": who} if who else {}
        for mode in MODES:
            for query in ["vessel", "bobium", "nobodium alicium"] if mode != "lexical" else ["vessel"]:
                body = {"query": query, "mode": mode, "k": 10, "explain": True, "passages": query == "vessel", **more}
                answer = self.http("POST", "/search", body)
                note(f"search {mode} {query}", answer, [hit["document"] for hit in answer["hits"]])
        listed = self.http("POST", "/search", {"filter": "year:[2000 TO *]", "facets": ["kind", "year"], "sort": "year",
                                               "k": 10, **more})
        note("list by a filter", listed, [hit["document"] for hit in listed["hits"]])
        for field in ["kind", "year"]:
            assert sum(value["count"] for value in listed["facets"][field]) == len(listed["hits"]), listed["facets"]
        answer = self.grpc("SearchService/Search", {"query": "vessel", "k": 10, "facets": ["kind"], **more})
        note("Search", str(answer), [hit.document for hit in answer.hits])
        requests = [{"query": "vessel", "k": 10, "mode": f"MODE_{mode.upper()}", **more} for mode in MODES]
        for one in self.grpc("SearchService/BatchSearch", {"requests": requests}).answers:
            note(f"BatchSearch {one.response.mode}", str(one), [hit.document for hit in one.response.hits])
        batch = self.http("POST", "/search/batch", {"requests": [{"query": "vessel", "k": 10, **more}]})["answers"][0]
        note("batch", batch, [hit["document"] for hit in batch["hits"]])
        answer = self.grpc("DocumentService/Get", {"ids": sorted(ALL), **more})
        note("Get", str(answer), [found.document.id for found in answer.documents])
        in_address = f"&principals={','.join(who)}" if who else ""
        page = self.http("GET", f"/documents?limit=10{in_address}")
        note("list", page, [document["id"] for document in page["documents"]])
        by_id = {id: self.server.http("GET", f"/documents?id={id}{in_address}", key=self.key) for id in ALL}
        assert {answer.status for answer in by_id.values()} <= {200, 404}
        note("one by one", "".join(answer.text for answer in by_id.values() if answer.status == 200),
             [id for id, answer in by_id.items() if answer.status == 200])
        answer = self.http("GET", f"/search?q=vessel&k=10&facets=kind&explain=true{in_address}")
        note("search by address", answer, [hit["document"] for hit in answer["hits"]])
        if not who:
            found = self.mcp("search", query="vessel", k=10)
            note("MCP search", found, [hit["id"] for hit in found["structuredContent"]["hits"]])
            got = {id: self.mcp("get", id=id) for id in ALL}
            note("MCP get", [answer for answer in got.values() if not answer["isError"]],
                 [id for id, answer in got.items() if not answer["isError"]])
        return ways, "\n".join(said)

    def words(self, prefix, who=None):
        in_address = f"&principals={','.join(who)}" if who else ""
        over_http = [word["word"] for word in self.http("GET", f"/complete?prefix={prefix}{in_address}")["words"]]
        over_grpc = [word.word for word in self.grpc("SearchService/Complete",
                                                     {"prefix": prefix, **({"principals": who} if who else {})}).words]
        assert over_http == over_grpc
        return over_http


@pytest.fixture
def person(server, protocol, place):
    return lambda name: Person(server, protocol, place.keys_of_people[name])


def check_sees_only(asker, seen, who=None):
    ways, said = asker.everything_shown(who)
    wrong = {way: sorted(ids) for way, ids in ways.items() if not ids <= seen or "vessel" in way and ids != seen}
    assert not wrong, f"only {sorted(seen)} may be seen: {wrong}"
    assert {ways[way] == seen for way in ["list", "Get", "one by one", "list by a filter"]} == {True}, ways
    for document in DOCUMENTS:
        own = document["text"].split()[2]
        if document["_id"] not in seen:
            for hidden in [document["_id"], document["kind"], document["title"], own]:
                # The question is given back; what else is said of a hidden document is too much.
                assert hidden not in said.replace('"bobium"', "").replace('"nobodium alicium"', ""), f"{hidden} is shown"
        words = asker.words(own[:-2], who)
        assert words == ([own] if document["_id"] in seen else []), (own, words)


@pytest.mark.parametrize("name, seen", [("alice", "alice"), ("bob", "bob"), ("stranger", "stranger"),
                                        ("alice who may all", "alice")])
def test_a_key_shows_what_its_holder_may_find(person, name, seen):
    check_sees_only(person(name), SEEN[seen])


def test_a_service_asks_for_those_whom_it_names(person):
    """Its key is nobody's: it says who asks, and is refused where it does not."""
    service = person("service")
    for who, seen in [(["alice", "group:eng"], "alice"), (["bob"], "bob"), (["carol"], "stranger")]:
        check_sees_only(service, SEEN[seen], who)
    for method, path, body in [("POST", "/search", {"query": "vessel"}), ("GET", "/documents", None),
                               ("GET", "/documents?id=of-everyone", None), ("GET", "/complete?prefix=ve", None)]:
        error = service.http(method, path, body, status=400)["error"]
        assert "vessel" not in error["message"], error
    assert service.mcp("search", query="vessel")["isError"] and service.mcp("get", id="of-everyone")["isError"]


def test_nobody_becomes_more_than_their_key_says(person):
    for name in ["alice", "alice who may all"]:
        alice = person(name)
        # Less is possible, more is not.
        found = alice.http("POST", "/search", {"query": "vessel", "principals": ["group:eng"]})["hits"]
        assert {hit["document"] for hit in found} == {"of-group", "of-everyone"}
        for more in [{"principals": ["bob"]}, {"principals": ["alice", "bob"]}, {"as_owner": True},
                     {"principals": ["alice"], "as_owner": True}]:
            assert alice.http("POST", "/search", {"query": "vessel", **more},
                              status=403)["error"]["code"] == "forbidden", more
            assert refused(lambda: alice.grpc("SearchService/Search", {"query": "vessel",
                **more})).code == CODE.PERMISSION_DENIED
            assert refused(lambda: alice.grpc("DocumentService/Get", {"ids": ["of-bob"],
                                                                      **more})).code == CODE.PERMISSION_DENIED
            assert refused(lambda: alice.grpc("SearchService/Complete",
                                              {"prefix": "bob", **more})).code == CODE.PERMISSION_DENIED
            [answer] = alice.grpc("SearchService/BatchSearch", {"requests": [{"query": "vessel", **more}]}).answers
            assert answer.failure.code == CODE.PERMISSION_DENIED.value[0]
            shown = lambda value: ",".join(value) if isinstance(value, list) else "true"
            address = "&".join(f"{key}={shown(value)}" for key, value in more.items())
            for path in [f"/documents?{address}", f"/documents?id=of-bob&{address}", f"/complete?prefix=bob&{address}"]:
                alice.http("GET", path, status=403)
        for strange in [["everyone"], ["alice,bob"], ["ALICE"], ["alice\0"], ["*"]]:
            alice.http("POST", "/search", {"query": "vessel", "principals": strange}, status=403)


def test_the_owner_is_who_has_the_scope_admin(person):
    admin, service = person("admin"), person("service")
    owner = {"as_owner": True}
    assert {hit["document"] for hit in admin.http("POST", "/search", {"query": "vessel", **owner})["hits"]} == ALL
    assert {found.document.id for found in admin.grpc("DocumentService/Get",
                                                      {"ids": sorted(ALL), **owner}).documents} == ALL
    assert {document["id"] for document in admin.http("GET", "/documents?as_owner=true")["documents"]} == ALL
    service.http("POST", "/search", {"query": "vessel", **owner}, status=403)
    service.http("GET", "/documents?as_owner=true", status=403)
    assert refused(lambda: service.grpc("DocumentService/Get", {"ids": ["of-bob"],
                                                                **owner})).code == CODE.PERMISSION_DENIED
    # A question that does not say that the owner asks shows nothing to the owner either.
    admin.http("POST", "/search", {"query": "vessel"}, status=400)


def test_what_is_said_of_a_collection_does_not_tell_of_hidden_documents(person):
    """How many documents there are and how long they are is for the owner; see docs/access.md."""
    stranger = person("stranger")
    described = json.dumps(stranger.http("GET", "/collections/closed"))
    listed = stranger.http("GET", "/collections")["collections"][0]
    status = stranger.grpc("AdminService/Status", {"collection": "closed"})
    told = {"list": listed.get("documents"), "Status": status.collection.documents}
    assert all(count in (None, 0, 1) for count in told.values()) and '"documents": 5' not in described, (told,
        described[:300])


def test_documents_that_come_while_it_serves_are_hidden_at_once(place):
    """By what they say, by what their request says, or from everyone but the owner."""
    place.index("closing", DOCUMENTS[:1], "--access-field", "access")
    write, _ = create_key(place, "--scope", "write", file="people2.toml")
    alice, _ = create_key(place, "--scope", "search", "--as", "alice", file="people2.toml")
    with Daemon(place, "--index", "closing", "--keys", "people2.toml") as server:

        def put(id, own=None, of_all=()):
            document = {"id": id, "text": f"vessel {id}", "metadata": {"access": own} if own else {}}
            answer = server.post("/documents", {"documents": [document], "access": of_all}, key=write)
            assert answer.status == 200, answer
            return answer.json

        seen = lambda: {hit["document"] for hit in server.http("GET", "/search?q=vessel&mode=lexical&k=20",
                                                               key=alice).json["hits"]}
        for id, own, of_all in [("a1", "alice", []), ("b1", "bob", []), ("none", None, []), ("a2", None, ["alice"]),
                                ("b2", "bob", ["alice"])]:
            assert put(id, own, of_all)["added"] == 1
        assert seen() == {"of-alice", "a1", "a2"}
        assert put("a1", "bob")["changed"] == 1 and put("b1", ["bob", "alice"])["changed"] == 1
        assert seen() == {"of-alice", "a2", "b1"}
