"""The official package of the Model Context Protocol, on standard input and output and over HTTP."""

import asyncio
import json

import httpx2
import mcp
import pytest
import requests
from mcp.client.streamable_http import streamable_http_client

from documents import DOCUMENTS, QUESTIONS
from world import binary

# The handshake of earlier versions, and what the package finds out by itself; with the version that comes of it.
MODES = {"legacy": "2025-11-25", "auto": "2026-07-28"}
TOOLS = {"search", "get", "list_collections"}


@pytest.fixture(params=["stdio", "http"])
def server_of(request, world, server):
    """What a client connects to, by either transport."""
    if request.param == "http":
        return f"{server.url}/mcp"
    words = ["mcp", "--index", str(world.folder / "notes")]
    return mcp.StdioServerParameters(command=str(binary()), args=words, env=world.environment, cwd=str(world.folder))


def with_client(server_of, ask, mode="auto"):
    async def run():
        async with asyncio.timeout(60):
            async with mcp.Client(server_of, mode=mode) as client:
                return await ask(client)

    return asyncio.run(run())


def data(result):
    assert not result.is_error, result.content
    return result.structured_content


@pytest.mark.parametrize("mode", MODES)
def test_a_client_is_told_what_there_is(server_of, mode):
    async def ask(client):
        assert client.protocol_version == MODES[mode]
        assert client.server_info.name == "berth" and "search" in client.instructions.lower()
        assert client.server_capabilities.tools is not None and client.server_capabilities.resources is None
        return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in with_client(server_of, ask, mode)}
    assert set(tools) == TOOLS
    for tool in tools.values():
        assert tool.description and tool.annotations.read_only_hint
        assert tool.input_schema["type"] == "object" and tool.input_schema["additionalProperties"] is False
    assert tools["search"].input_schema["required"] == ["query"] and tools["get"].input_schema["required"] == ["id"]


@pytest.mark.parametrize("mode", MODES)
def test_passages_are_found_and_documents_read(world, server_of, mode):
    rows = {row["_id"]: row for row in DOCUMENTS}

    async def ask(client):
        for question in QUESTIONS:
            arguments = {"query": question, "collection": "notes", "k": 3}
            result = await client.call_tool("search", arguments)
            expected = world.search(question, "-k", "3")["hits"]
            hits = data(result)["hits"]
            own = [(hit["rank"], hit["id"], hit["title"], hit["text"], hit["start"], hit["end"]) for hit in hits]
            assert own == [
                (hit["rank"], hit["document"], hit["title"], hit["text"], hit["chunk"]["start"], hit["chunk"]["end"])
                for hit in expected
            ]
            assert [hit["relevance"] for hit in hits] == pytest.approx([hit["relevance"] for hit in expected])
            text = result.content[0].text
            assert all(hit["id"] in text and hit["text"] in text for hit in hits)
        narrowed = await client.call_tool("search", {"query": "a train", "collection": "notes", "filter": "lang:de"})
        assert {hit["id"] for hit in data(narrowed)["hits"]} <= {"de-garden", "de-train", "de-cake"}
        assert len(data(await client.call_tool("search", {"query": "ship", "collection": "notes"}))["hits"]) == 5
        for id in ["ko-train", "party", "long"]:
            document = data(await client.call_tool("get", {"id": id, "collection": "notes"}))
            row = rows[id]
            assert (document["id"], document["title"], document["text"]) == (id, row["title"], row["text"])
            assert document["metadata"] == {"year": row["year"], "lang": row["lang"]}
        part = await client.call_tool("get", {"id": "party", "collection": "notes", "start": 1, "length": 2})
        assert (data(part)["text"], data(part)["start"], data(part)["end"]) == ("🎂🎈", 1, 3)
        assert f"characters 1 to 3 of {len(rows['party']['text'])}" in part.content[0].text
        past = await client.call_tool("get", {"id": "party", "collection": "notes", "start": 1000})
        assert data(past)["text"] == ""
        collections = data(await client.call_tool("list_collections", {}))["collections"]
        assert {"name": "notes", "documents": len(DOCUMENTS)} in collections

    with_client(server_of, ask, mode)


def test_errors_are_those_of_a_tool(server_of):
    """An assistant reads what went wrong and can mend it; the connection stays."""

    async def ask(client):
        for tool, arguments, said in [
            ("search", {"query": "x", "collection": "nowhere"}, "nowhere"),
            ("search", {"query": "x", "collection": "notes", "filter": "year:["}, "filter"),
            ("search", {"query": "x", "collection": "notes", "k": 0}, "k is 0"),
            ("search", {"query": "x", "collection": "notes", "k": 100000}, "max-k"),
            ("search", {"collection": "notes"}, "query"),
            ("search", {"query": "x", "colour": "red"}, "colour"),
            ("get", {"id": "nobody", "collection": "notes"}, "nobody"),
            ("get", {"id": 7}, "string"),
        ]:
            result = await client.call_tool(tool, arguments)
            assert result.is_error and said in result.content[0].text, (tool, arguments, result.content)
        with pytest.raises(mcp.MCPError) as caught:
            await client.call_tool("fly", {})
        assert "fly" in str(caught.value)
        assert not (await client.call_tool("list_collections", {})).is_error

    with_client(server_of, ask)


def test_keys_are_asked_for(guarded):
    statuses = []

    async def note(answer):
        statuses.append(answer.status_code)

    async def ask(header):
        async with asyncio.timeout(60):
            async with httpx2.AsyncClient(headers=header, timeout=30, event_hooks={"response": [note]}) as http:
                async with mcp.Client(streamable_http_client(f"{guarded.url}/mcp", http_client=http)) as client:
                    return await client.call_tool("search", {"query": "ship", "k": 2})

    for header in [{"Authorization": guarded.bearer("search")}, {"X-Api-Key": guarded.keys["search"]}]:
        assert len(data(asyncio.run(ask(header)))["hits"]) == 2
    for header in [{}, {"Authorization": "Bearer berth_0_0"}]:
        statuses.clear()
        with pytest.raises((mcp.MCPError, ExceptionGroup)):
            asyncio.run(ask(header))
        assert statuses and set(statuses) == {401}
    refused = asyncio.run(ask({"Authorization": guarded.bearer("embed")}))
    assert refused.is_error and "search" in refused.content[0].text


def test_pages_of_others_are_turned_away(server):
    """A browser says which page asks."""
    first = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    ask = lambda **more: requests.post(f"{server.url}/mcp", json=first, headers={**headers, **more}, timeout=60)
    assert ask().status_code == 200
    assert ask(origin="https://evil.example").status_code == 403
    assert ask(host="evil.example").status_code == 403


def test_stdio_says_nothing_but_the_protocol(world):
    """Lines of JSON on standard output; the log goes to standard error."""
    initialize = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}},
    }
    lines = [
        initialize, {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "search", "arguments": {"query": "tide"}}},
        {"jsonrpc": "2.0", "id": 3, "method": "no/such/method"},
    ]
    given = "".join(json.dumps(line) + "\n" for line in lines)
    answers = {answer["id"]: answer for answer in world.lines("mcp", "--index", "notes", given=given)}
    assert answers[1]["result"]["protocolVersion"] == "2025-06-18"
    if 2 in answers:  # Whoever closes the input may not hear the answer to what is under way.
        assert answers[2]["result"]["structuredContent"]["hits"][0]["id"] == "tide"
    assert answers[3]["error"]["code"] == -32601
