"""Every operation of the server: what scope it takes, and a request of it that does little.

`{C}` stands for the collection. A route or method that is not named here makes the tests fail: say what it takes.
"""

import json

# The scope that a key needs; any of several, any key at all, or none.
ANY_KEY, OPEN = "any key", "open"
SCOPES = ["search", "embed", "write", "admin"]

TEXT = {"inputs": ["a ship in port"]}
MCP_HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def mcp(method, params=None):
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}


def tool(name, **arguments):
    return mcp("tools/call", {"name": name, "arguments": arguments})


# Route: scope, address, body.
HTTP = {
    "GET /": (OPEN, "/", None),
    "GET /docs": (OPEN, "/docs", None),
    "GET /openapi.json": (OPEN, "/openapi.json", None),
    "GET /assets/{name}": (OPEN, "/assets/app.js", None),
    "GET /healthz": (OPEN, "/healthz", None),
    "GET /readyz": (OPEN, "/readyz", None),
    "GET /health": (OPEN, "/health", None),
    "GET /ping": (OPEN, "/ping", None),
    "GET /metrics": ("admin", "/metrics", None),
    "GET /search": ("search", "/search?q=ship&mode=lexical&collection={C}", None),
    "POST /search": ("search", "/search", {"query": "ship", "mode": "lexical", "collection": "{C}"}),
    "POST /search/batch": ("search", "/search/batch", {"requests": [{"query": "ship", "mode": "lexical",
                                                                     "collection": "{C}"}]}),
    "GET /complete": ("search", "/complete?prefix=sh&collection={C}", None),
    "GET /documents": ("search", "/documents?collection={C}", None),
    "POST /documents": ("write", "/documents", {"collection": "{C}", "documents": [{"id": "new", "text": "a new one"}]}),
    "DELETE /documents": ("write", "/documents?collection={C}&id=none", None),
    "POST /documents/delete": ("write", "/documents/delete", {"collection": "{C}", "ids": ["none"]}),
    "GET /collections": ("search", "/collections", None),
    "POST /collections": ("admin", "/collections", {"name": "{C}", "model": "no-such-model"}),
    "GET /collections/{name}": ("search", "/collections/{C}", None),
    "GET /jobs": ("admin", "/jobs", None),
    "POST /jobs": ("admin", "/jobs", {"collection": "{C}", "kind": "verify"}),
    "GET /jobs/{id}": ("admin", "/jobs/none-1", None),
    "POST /snapshots": ("admin", "/snapshots", {"collection": "{C}", "name": "auth-{N}"}),
    "POST /v1/embeddings": ("embed", "/v1/embeddings", {"input": "a ship", "model": "all-minilm-l6-v2"}),
    "GET /v1/models": (("search", "embed"), "/v1/models", None),
    "GET /v1/models/{id}": (("search", "embed"), "/v1/models/all-minilm-l6-v2", None),
    "POST /v1/rerank": ("embed", "/v1/rerank", {"model": "cross", "query": "ship", "documents": ["a ship"]}),
    "POST /v2/rerank": ("embed", "/v2/rerank", {"model": "cross", "query": "ship", "documents": ["a ship"]}),
    "POST /": ("embed", "/", {"inputs": "a ship"}),
    "POST /invocations": ("embed", "/invocations", {"inputs": "a ship"}),
    "POST /embeddings": ("embed", "/embeddings", {"input": "a ship"}),
    "POST /embed": ("embed", "/embed", {"inputs": "a ship"}),
    "POST /embed_all": ("embed", "/embed_all", {"inputs": "a ship"}),
    "POST /embed_sparse": ("embed", "/embed_sparse", {"inputs": "a ship", "model": "splade"}),
    "POST /rerank": ("embed", "/rerank", {"query": "ship", "texts": ["a ship"], "model": "cross"}),
    "POST /predict": ("embed", "/predict", {"inputs": "a ship", "model": "classes"}),
    "POST /similarity": ("embed", "/similarity", {"inputs": {"source_sentence": "ship", "sentences": ["a ship"]}}),
    "POST /tokenize": ("embed", "/tokenize", {"inputs": "a ship"}),
    "POST /decode": ("embed", "/decode", {"ids": [101, 102]}),
    "GET /info": ("embed", "/info", None),
    "POST /inspect/attention": ("embed", "/inspect/attention", {"text": "a ship", "layer": 0}),
    "POST /mcp initialize": (ANY_KEY, "/mcp", mcp("initialize", {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}})),
    "POST /mcp tools/list": (ANY_KEY, "/mcp", mcp("tools/list")),
    "POST /mcp search": ("search", "/mcp", tool("search", query="ship", collection="{C}")),
    "POST /mcp get": ("search", "/mcp", tool("get", id="harbour", collection="{C}")),
    "POST /mcp list_collections": ("search", "/mcp", tool("list_collections")),
}
# Routes that the description of the interface leaves out: the page, what speaks protocols of its own, and second names.
UNDESCRIBED = {"/", "/docs", "/openapi.json", "/assets/{name}", "/mcp", "/v2/rerank", "/ping", "/invocations",
               "/embeddings"}

# Method: scope, request.
GRPC = {
    "berth.v1.SearchService/Search": ("search", {"collection": "{C}", "query": "ship", "mode": "MODE_LEXICAL"}),
    "berth.v1.SearchService/BatchSearch": ("search", {"requests": [{"collection": "{C}", "query": "ship",
                                                                    "mode": "MODE_LEXICAL"}]}),
    "berth.v1.SearchService/Complete": ("search", {"collection": "{C}", "prefix": "sh"}),
    "berth.v1.ModelService/Embed": ("embed", TEXT),
    "berth.v1.ModelService/EmbedStream": ("embed", TEXT),
    "berth.v1.ModelService/Rerank": ("embed", {"model": "cross", "query": "ship", "documents": ["a ship"]}),
    "berth.v1.ModelService/Classify": ("embed", {"model": "classes", "inputs": [{"text": "a ship"}]}),
    "berth.v1.ModelService/Tokenize": ("embed", TEXT),
    "berth.v1.ModelService/ListModels": (("search", "embed"), {}),
    "berth.v1.DocumentService/Index": ("write", {"collection": "{C}", "documents": [{"id": "new", "text": "a new one"}]}),
    "berth.v1.DocumentService/Delete": ("write", {"collection": "{C}", "ids": ["none"]}),
    "berth.v1.DocumentService/Get": ("search", {"collection": "{C}", "ids": ["harbour"]}),
    "berth.v1.AdminService/ListCollections": ("search", {}),
    "berth.v1.AdminService/Status": ("search", {"collection": "{C}"}),
    "berth.v1.AdminService/Snapshot": ("admin", {"collection": "{C}", "name": "grpc-{N}"}),
    "berth.v1.AdminService/CreateCollection": ("admin", {"name": "{C}", "model": "no-such-model"}),
    "berth.v1.AdminService/StartJob": ("admin", {"collection": "{C}", "kind": "verify"}),
    "berth.v1.AdminService/ListJobs": ("admin", {}),
    "berth.v1.AdminService/GetJob": ("admin", {"id": "none-1"}),
    "grpc.health.v1.Health/Check": (OPEN, {}),
    # A watch never ends; one that is not known says so at once.
    "grpc.health.v1.Health/Watch": (OPEN, {"service": "no.such.Service"}),
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": (ANY_KEY, {"listServices": ""}),
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": (ANY_KEY, {"listServices": ""}),
}

# Operations that answer several things at once, and say of each in its place whether it was refused.
IN_PLACE = {"POST /search/batch", "berth.v1.SearchService/BatchSearch"}


def allowed_by(needs):
    """The scopes of which each alone is enough."""
    if needs in (ANY_KEY, OPEN):
        return set(SCOPES)
    return {"admin", *([needs] if isinstance(needs, str) else needs)}


def of_collection(request, collection, number=0):
    """An address or a request, about a collection."""
    return json.loads(json.dumps(request).replace("{C}", collection).replace("{N}", str(number)))


def names_collection(*parts):
    return "{C}" in json.dumps(parts)
