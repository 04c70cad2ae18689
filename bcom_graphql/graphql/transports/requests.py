"""Reads GraphQL-over-HTTP requests: the operations, and the media type of the response.

Specifications: https://graphql.github.io/graphql-over-http/draft/, for files
https://github.com/jaydenseric/graphql-multipart-request-spec, for event streams
https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md (distinct connections).
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from starlette.requests import HTTPConnection

from bcom_graphql.graphql.deadlines import Deadline
from bcom_graphql.graphql.errors import BadRequest, RequestError
from bcom_graphql.graphql.execution.graphql_request import GraphQLRequest
from bcom_graphql.graphql.json import parse_json
from bcom_graphql.graphql.limits import Allowance, Limits
from bcom_graphql.graphql.transports.bodies import Admission, Body, HttpRequest, read_json
from bcom_graphql.graphql.transports.multipart import MultipartForm
from bcom_graphql.graphql.transports.spool import Spool
from bcom_graphql.graphql.transports.uploads import read_multipart

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
MULTIPART = "multipart/form-data"
PREFLIGHTED = ("graphql-require-preflight", "apollo-require-preflight", "x-apollo-operation-name")
SIMPLE_TYPES = ("", "application/x-www-form-urlencoded", "text/plain", MULTIPART)
UTF_8 = ("utf-8", "utf8", "us-ascii")  # the last is a subset of it
DIFFERENT_HEADERS = 64  # whose meaning is cached; as many as there are kinds of clients


@lru_cache(DIFFERENT_HEADERS)
def choose_media_type(accept: str) -> str:
    """Returns the media type of ours that the client prefers; JSON if it does not say. Raises RequestError (406)."""
    if not accept.strip():
        return JSON
    liked = [(quality, media) for media, quality in map(_parse_accepted, accept.split(",")) if quality > 0]
    for _, media in sorted(liked, key=lambda pair: -pair[0]):  # stable: among equals the first
        if media in (GRAPHQL_RESPONSE, JSON, EVENT_STREAM):
            return media
        if media in ("*/*", "application/*"):
            return JSON
    raise BadRequest(f"Accept {GRAPHQL_RESPONSE}, {JSON} or {EVENT_STREAM}.", 406)


def _parse_accepted(entry: str) -> tuple[str, float]:
    """Returns a media type without parameters, and its quality; 0 for a charset that we do not write."""
    media, *parameters = (part.strip().lower() for part in entry.split(";"))
    given = dict(parameter.partition("=")[::2] for parameter in parameters)
    if given.get("charset", "utf-8") not in ("utf-8", "utf8"):
        return media, 0.0
    try:
        return media, float(given.get("q", "1"))
    except ValueError:
        return media, 0.0


def address_of(connection: HTTPConnection) -> str:
    """Returns the client's address, which a trusted proxy may have set."""
    return connection.client.host if connection.client else "unknown"


def refuse_forgery(headers: Mapping[str, str]) -> None:
    """Refuses what another site's page can make a browser send without a preflight (CSRF). Raises RequestError (403).

    A browser sends a CORS preflight before a header or content type that plain links, images and forms cannot have. A
    browser is known by `Origin`, Fetch Metadata, or its User-Agent.
    """
    if any(name in headers for name in PREFLIGHTED):
        return
    media, _ = _parse_content_type(headers.get("content-type", ""))
    is_browser = "origin" in headers or headers.get("user-agent", "").startswith("Mozilla/")
    site = headers.get("sec-fetch-site", "cross-site" if is_browser else "none")
    if media in SIMPLE_TYPES and site not in ("same-origin", "none"):
        message = "Send the header `GraphQL-Require-Preflight: 1` with this request."
        raise RequestError(message, {"code": "FORBIDDEN"}, 403)


def is_multipart(headers: Mapping[str, str]) -> bool:
    """Tells whether files may come with it."""
    return _parse_content_type(headers.get("content-type", ""))[0] == MULTIPART


async def read_operations(
    request: HttpRequest, limits: Limits, deadline: Deadline, spool: Spool, admit: Callable[..., Awaitable[Allowance]]
) -> GraphQLRequest | list[GraphQLRequest]:
    """Reads one operation or a batch from a POST's body or a GET's query string. Raises RequestError.

    `admit` authenticates the sender and returns how much they may send; it is called once there is more than anybody
    may send. Files stay open until `request.disk` is closed, memory is reserved until `request.memory` is released.
    """
    if request.method == "GET":
        return GraphQLRequest.of(_parse_query_string(request.query_params, limits.allowance(signed_in=False)))
    if request.method != "POST":
        raise BadRequest("Use GET for queries and POST for everything.", 405, allow="GET, POST")
    media, charset = _parse_content_type(request.header_values.get("content-type", ""))
    if media not in (JSON, MULTIPART) or charset not in UTF_8:
        raise BadRequest(f"Send {JSON} in UTF-8, or {MULTIPART} with files.", 415)
    body, files = Body(request, limits, deadline), media == MULTIPART
    request.memory = spool.anonymous_memory.new_reservation()
    admission = Admission(limits.allowance(signed_in=False, files=files), partial(admit, files=files), request.memory)
    if files:
        request.disk = spool.new_reservation()
        asked = await read_multipart(
            body, MultipartForm(request.header_values["content-type"], limits, request.disk), admission
        )
    else:
        asked = await read_json(body, admission)
    if not isinstance(asked, list):
        return GraphQLRequest.of(asked)
    if not 1 <= len(asked) <= limits.batch:
        raise BadRequest(f"A batch has 1 to {limits.batch} operations; this one has {len(asked)}.")
    return [GraphQLRequest.of(entry) for entry in asked]


@lru_cache(DIFFERENT_HEADERS)
def _parse_content_type(header: str) -> tuple[str, str]:
    media, *parameters = (part.strip().lower() for part in header.split(";"))
    given = dict(parameter.partition("=")[::2] for parameter in parameters)
    return media, given.get("charset", "utf-8").strip('"')


def _parse_query_string(given: Mapping[str, str], allowed: Allowance) -> dict[str, Any]:
    values: dict[str, Any] = dict(given)
    for name in ("variables", "extensions"):
        if values.get(name):
            values[name] = parse_json(values[name], f"`{name}`", allowed)
    return {name: value for name, value in values.items() if value != ""}
