"""The documents of the mock server, and its description of itself."""

LONG_TITLE = (
    "Minutes of the third ordinary meeting of the harbour board, with the reports of the pilots, of the crane inspectors "
    "and of the committee for the deepening of the northern basin, and all that was said about them"
)

# Everything here has to stay text: a page that reads it as markup sets `window.pwned`.
HOSTILE = {
    "id": '"><script>window.pwned=1</script>',
    "title": '<img src=x onerror="window.pwned=1"> snapshot & <b>bold</b>',
    "text": 'A snapshot of markup: <script>window.pwned=1</script> and <a href="javascript:window.pwned=1">a link</a>.\n'
    "<svg onload=window.pwned=1></svg> &amp; &lt;tags&gt; stay what they are.",
    "lang": "<i>en</i>",
    "year": 2024,
}

_SNAPSHOTS = """# Snapshots

A snapshot is a copy of an index as it was at one commit. It is made while the index is being written and searched, and holds
everything that a search needs: words, vectors, texts, and the settings that they were made with.

## Making one

`berth snapshot` writes a snapshot into a folder that does not exist yet. Files that cannot change any more are linked where
the file system can do that, and copied where it cannot, so that a snapshot of a large index takes seconds and no space.

## Going back

An index is restored from a snapshot by copying its folder to where the index was. A reader that was open goes on with what it
had, and sees the restored index when it opens it again. Nothing is merged: what was written after the snapshot is gone.

## How long one lasts

A snapshot depends on nothing outside of its folder. It can be moved to another machine, and is opened there by the same model.
Old snapshots are removed by removing their folders; berth keeps no list of them, and a snapshot that is half written is never
taken for a whole one, because its manifest is written last.

## Checking

Every block of a snapshot carries a checksum, which is compared when the block is first read. `berth verify` reads all of them.
"""

_KOREAN = """# 항만 크레인 점검

크레인은 매년 점검을 받아야 합니다. 점검관은 부두의 모든 크레인을 확인하고, 결과를 항만 위원회에 보고합니다.

점검 결과의 스냅샷(snapshot)은 5년 동안 보관됩니다. 🚢 선박이 접안하기 전에 도선사가 승선하고,
🏗️ 크레인 기사는 무전으로 연락을 받습니다.

겨울에는 얼음 때문에 북쪽 부두가 닫힐 수 있습니다. 그 경우 선박은 남쪽 부두에 정박하고, 항만 사용료는 절반으로 줄어듭니다.
"""


def _document(number, title, text, lang, year, kind):
    return {
        "id": f"handbook/{number}.md",
        "title": title,
        "text": text,
        "lang": lang,
        "year": year,
        "kind": kind,
        "source": f"/srv/library/harbour/handbook/{number}.md",
    }


DOCUMENTS = [
    _document("durability", "Snapshots and durability", _SNAPSHOTS, "en", 2024, "guide"),
    _document("cranes-ko", "항만 크레인 점검 🏗️", _KOREAN, "ko", 2023, "rule"),
    _document(
        "minutes",
        LONG_TITLE,
        "The board met at nine. A snapshot of the accounts was laid before it.\n\n"
        + "The pilots reported that the northern basin has lost a hand of depth since spring, and that ships of more "
        "than eight metres wait for the tide. " * 9,
        "en",
        2021,
        "minutes",
    ),
    _document(
        "dues",
        "Harbour dues",
        "Dues are paid by the day. Ships that wait for the tide pay nothing until they berth.\n\n"
        "Who pays for a whole year at once pays for ten months.",
        "en",
        2022,
        "rule",
    ),
    _document(
        "hafen",
        "Die Hafenordnung",
        "Jedes Schiff meldet sich vor dem Einlaufen. Der Lotse geht an Bord, bevor das Schiff die "
        "Mole passiert.\n\nEin Abbild (snapshot) des Logbuchs wird verwahrt.",
        "de",
        2020,
        "rule",
    ),
    _document(
        "pilots",
        "Pilots",
        "A pilot boards every ship of more than sixty metres. The pilot knows the currents of the basin "
        "and speaks for the ship on the radio.",
        "en",
        2019,
        "guide",
    ),
    _document(
        "ice",
        "Ice in the northern basin 🧊",
        "When the basin freezes, ships moor at the south quay. A snapshot of the ice chart is "
        "published at six every morning. ❄️ The tugs keep a lane open as long as they can.",
        "en",
        2024,
        "notice",
    ),
    _document(
        "radio",
        "Radio procedure",
        "Channel 12 is for ships that arrive. Say the name of the ship, her length, and where she lies.",
        "en",
        2018,
        "guide",
    ),
    _document(
        "copies",
        "Copies of the log",
        "Every log is copied each night. The copy is a state of the log as of midnight, and is kept for "
        "five years beside the original.",
        "en",
        2023,
        "rule",
    ),
    {**HOSTILE, "kind": "notice", "source": None},
]

MORE = [
    _document(
        f"notice-{number:02}",
        f"Notice to mariners {number}",
        f"Notice {number}. Buoy {number * 3} has been moved by a cable to the "
        "north. Keep clear of the dredger until the end of the month.",
        "en",
        2015 + number % 9,
        "notice",
    )
    for number in range(1, 41)
]

_ERROR = {
    "description": "What was asked cannot be done",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}

OPENAPI = {
    "openapi": "3.1.0",
    "info": {
        "title": "Berth",
        "version": "0.9.0",
        "description": "Searches collections by words and by meaning.\n\nErrors are JSON with a `code` and a `message`.",
    },
    "tags": [{"name": "Search", "description": "Questions and what they find."}, {"name": "Documents"}, {"name": "Models"}],
    "paths": {
        "/search": {
            "post": {
                "tags": ["Search"],
                "operationId": "search",
                "summary": "Finds documents",
                "description": "An empty query with `filter` or `sort` lists documents.",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/SearchRequest"},
                            "example": {"query": "who inspects the crane", "collection": "handbook", "k": 10, "mode": "hybrid"},
                        }
                    },
                },
                "responses": {
                    "200": {
                        "description": "What was found",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SearchAnswer"}}},
                    },
                    "400": _ERROR,
                    "429": _ERROR,
                },
            }
        },
        "/complete": {
            "get": {
                "tags": ["Search"],
                "summary": "Completes a word",
                "parameters": [
                    {
                        "name": "collection",
                        "in": "query",
                        "schema": {"type": "string"},
                        "description": "Its name; not needed when there is one.",
                    },
                    {
                        "name": "prefix",
                        "in": "query",
                        "required": True,
                        "schema": {"type": "string", "minLength": 1},
                        "example": "snap",
                    },
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "default": 8, "minimum": 1, "maximum": 100}},
                ],
                "responses": {"200": {"description": "Words, the commonest first"}},
            }
        },
        "/documents": {
            "get": {
                "tags": ["Documents"],
                "summary": "Reads one document, or lists them",
                "parameters": [{"name": "id", "in": "query", "schema": {"type": ["string", "null"]}}],
                "responses": {"200": {"description": "The document"}, "404": _ERROR},
            }
        },
        "/tokenize": {
            "post": {
                "tags": ["Models"],
                "summary": "Takes texts apart into tokens",
                "responses": {"200": {"description": "Tokens"}},
            }
        },
    },
    "components": {
        "schemas": {
            "Error": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["code", "message"],
                        "properties": {
                            "code": {"type": "string", "enum": ["invalid_input", "not_found", "overloaded", "internal"]},
                            "message": {"type": "string"},
                        },
                    }
                },
            },
            "SearchRequest": {
                "type": "object",
                "required": ["query"],
                "properties": {
                    "query": {"type": "string", "description": "The question."},
                    "k": {
                        "type": "integer",
                        "default": 10,
                        "minimum": 1,
                        "maximum": 10000,
                        "description": "Most hits to return.",
                    },
                    "mode": {"$ref": "#/components/schemas/Mode"},
                    "rerank": {"$ref": "#/components/schemas/Rerank"},
                    "facets": {"type": "array", "items": {"type": "string"}},
                },
            },
            "Mode": {
                "type": "string",
                "enum": ["hybrid", "dense", "lexical", "sparse"],
                "description": "Which lists are asked.",
            },
            "Rerank": {
                "type": ["object", "null"],
                "properties": {"by": {"type": "string", "enum": ["late", "cross"]}, "depth": {"type": "integer"}},
            },
            "SearchAnswer": {
                "type": "object",
                "required": ["hits"],
                "properties": {
                    "hits": {"type": "array", "items": {"$ref": "#/components/schemas/Hit"}},
                    "took_ms": {"type": "number"},
                },
            },
            "Hit": {
                "type": "object",
                "properties": {
                    "document": {"type": "string"},
                    "score": {"type": "number"},
                    "explanation": {"$ref": "#/components/schemas/Explanation"},
                },
            },
            "Explanation": {
                "type": "object",
                "properties": {
                    "label": {"type": "string"},
                    "value": {"type": "number"},
                    "children": {"type": "array", "items": {"$ref": "#/components/schemas/Explanation"}},
                },
            },
        }
    },
}
