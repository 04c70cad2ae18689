"""What a GraphQL-over-HTTP request asks, and in which media type it wants its answer.

Specification: https://graphql.github.io/graphql-over-http/draft/
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request

from bcom_graphql.graphql.errors import Refused

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = "application/json"
LARGEST_BODY = 64 * 1024 * 1024  # bytes: a batch of 100 000 samples in rows takes about 30 MB
LARGEST_BATCH = 10


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a request: a document and what to do with it."""

    query: str
    variables: dict[str, Any] | None
    name: str | None
    extensions: dict[str, Any] | None


def answer_type(accept: str) -> str:
    """The media type that the client likes best of our two; JSON where it does not care. Raises Refused (406)."""
    if not accept.strip():
        return JSON
    liked = [(quality, media) for media, quality in map(_weighed, accept.split(",")) if quality > 0]
    for _, media in sorted(liked, key=lambda pair: -pair[0]):  # stable: among equals the first
        if media in (GRAPHQL_RESPONSE, JSON):
            return media
        if media in ("*/*", "application/*"):
            return JSON
    raise _refused(f"Accept {GRAPHQL_RESPONSE} or {JSON}.", 406)


def _weighed(entry: str) -> tuple[str, float]:
    """A media type without its parameters, and its quality; 0 for a charset that we do not write."""
    media, *parameters = (part.strip().lower() for part in entry.split(";"))
    given = dict(parameter.partition("=")[::2] for parameter in parameters)
    if given.get("charset", "utf-8") not in ("utf-8", "utf8"):
        return media, 0.0
    try:
        return media, float(given.get("q", "1"))
    except ValueError:
        return media, 0.0


async def operations(request: Request) -> Operation | list[Operation]:
    """What is asked, of a POST's body or a GET's query string. Raises Refused with the status that says why."""
    if request.method == "GET":
        return _operation(_from_query_string(request.query_params))
    if request.method != "POST":
        raise _refused("Use GET for queries and POST for everything.", 405, allow="GET, POST")
    media, charset = _content_type(request.headers.get("content-type", ""))
    if media != JSON or charset not in ("utf-8", "utf8"):
        raise _refused(f"Send {JSON} in UTF-8.", 415)
    body = _parsed(await _body(request), "The body")
    if not isinstance(body, list):
        return _operation(body)
    if not 1 <= len(body) <= LARGEST_BATCH:
        raise _refused(f"A batch has 1 to {LARGEST_BATCH} operations; this one has {len(body)}.", 400)
    return [_operation(entry) for entry in body]


async def _body(request: Request) -> bytes:
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > LARGEST_BODY:
            raise _refused(f"A body has at most {LARGEST_BODY} bytes.", 413)
    return bytes(received)


def _content_type(header: str) -> tuple[str, str]:
    media, *parameters = (part.strip().lower() for part in header.split(";"))
    given = dict(parameter.partition("=")[::2] for parameter in parameters)
    return media, given.get("charset", "utf-8").strip('"')


def _from_query_string(given: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = dict(given)
    for name in ("variables", "extensions"):
        if values.get(name):
            values[name] = _parsed(values[name].encode(), f"`{name}`")
    return {name: value for name, value in values.items() if value != ""}


def _parsed(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _refused(f"{what} is not JSON: {error}.", 400) from error


def _operation(body: Any) -> Operation:
    if not isinstance(body, dict):
        raise _refused("A request is a JSON object with `query`, or a list of such.", 400)
    wanted: tuple[tuple[str, type, str], ...] = (
        ("query", str, "a string"),
        ("variables", dict, "an object"),
        ("operationName", str, "a string"),
        ("extensions", dict, "an object"),
    )
    for name, kind, words in wanted:
        if body.get(name) is not None and not isinstance(body[name], kind):
            raise _refused(f"`{name}` must be {words}.", 400)
    if not body.get("query"):
        raise _refused("A request needs a `query`.", 400)
    return Operation(body["query"], body.get("variables"), body.get("operationName"), body.get("extensions"))


def _refused(message: str, status: int, **headers: str) -> Refused:
    return Refused(message, {"code": "BAD_USER_INPUT"}, status, headers)
