"""Loaded by schemathesis: names collections and models that there are, for about half of the requests."""

import schemathesis

COLLECTION = "described"
MODELS = {"/embed_sparse": "splade", "/predict": "classes", "/rerank": "cross", "/v1/rerank": "late"}


def is_due(made_up):
    """The same for the same request in every run."""
    return isinstance(made_up, dict) and len(repr(made_up)) % 2 == 0


@schemathesis.hook
def map_body(context, body):
    if not is_due(body):
        return body
    own = {**body}
    if context.operation.path in MODELS:
        own["model"] = MODELS[context.operation.path]
    if "collection" in own:
        own["collection"] = COLLECTION
        # Nobody is kept from anything in it.
        own = {name: value for name, value in own.items() if name not in ("access", "principals")}
    return own


@schemathesis.hook
def map_query(context, query):
    if not is_due(query) or "collection" not in query:
        return query
    return {name: value for name, value in {**query, "collection": COLLECTION}.items() if name != "principals"}
