"""What a GraphQL-over-HTTP request asks, and in which media type it wants its answer.

Specifications: https://graphql.github.io/graphql-over-http/draft/, for files
https://github.com/jaydenseric/graphql-multipart-request-spec, for event streams
https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md (distinct connections).
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from starlette.requests import HTTPConnection

from bcom_graphql.graphql.deadlines import Deadline
from bcom_graphql.graphql.errors import Refused, bad_request
from bcom_graphql.graphql.execution.graphql_request import GraphQLRequest
from bcom_graphql.graphql.json import parsed
from bcom_graphql.graphql.limits import Allowance, Limits
from bcom_graphql.graphql.transports.bodies import Admission, Arrival, Body, read_json
from bcom_graphql.graphql.transports.multipart import Form
from bcom_graphql.graphql.transports.spool import Spool
from bcom_graphql.graphql.transports.uploads import with_files

GRAPHQL_RESPONSE = "application/graphql-response+json"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
MULTIPART = "multipart/form-data"
PREFLIGHTED = ("graphql-require-preflight", "apollo-require-preflight", "x-apollo-operation-name")
SIMPLE_TYPES = ("", "application/x-www-form-urlencoded", "text/plain", MULTIPART)
UTF_8 = ("utf-8", "utf8", "us-ascii")  # the last is a part of it
DIFFERENT_HEADERS = 64  # of which we remember what they say: there are as many as there are kinds of clients


@lru_cache(DIFFERENT_HEADERS)
def answer_type(accept: str) -> str:
    """The media type that the client likes best of ours; JSON where it does not care. Raises Refused (406)."""
    if not accept.strip():
        return JSON
    liked = [(quality, media) for media, quality in map(_weighed, accept.split(",")) if quality > 0]
    for _, media in sorted(liked, key=lambda pair: -pair[0]):  # stable: among equals the first
        if media in (GRAPHQL_RESPONSE, JSON, EVENT_STREAM):
            return media
        if media in ("*/*", "application/*"):
            return JSON
    raise bad_request(f"Accept {GRAPHQL_RESPONSE}, {JSON} or {EVENT_STREAM}.", 406)


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


def address_of(connection: HTTPConnection) -> str:
    """The peer's, or what a trusted proxy says is the client's."""
    return connection.client.host if connection.client else "unknown"


def refuse_forgery(headers: Mapping[str, str]) -> None:
    """Only what no other site's page can make a browser send without asking us first (CSRF). Raises Refused (403).

    A browser asks (CORS preflight) before it sends a header or a content type that plain links, images and forms
    cannot. It says that it is one: by `Origin`, by Fetch Metadata, and by its User-Agent.
    """
    if any(name in headers for name in PREFLIGHTED):
        return
    media, _ = _content_type(headers.get("content-type", ""))
    is_browser = "origin" in headers or headers.get("user-agent", "").startswith("Mozilla/")
    site = headers.get("sec-fetch-site", "cross-site" if is_browser else "none")
    if media in SIMPLE_TYPES and site not in ("same-origin", "none"):
        message = "Send the header `GraphQL-Require-Preflight: 1` with this request."
        raise Refused(message, {"code": "FORBIDDEN"}, 403)


def is_multipart(headers: Mapping[str, str]) -> bool:
    """Whether files may come with it."""
    return _content_type(headers.get("content-type", ""))[0] == MULTIPART


async def operations(
    request: Arrival, limits: Limits, deadline: Deadline, spool: Spool, admit: Callable[..., Awaitable[Allowance]]
) -> GraphQLRequest | list[GraphQLRequest]:
    """What is asked, of a POST's body or a GET's query string. Raises Refused with the status that says why.

    `admit` says how much whoever asks may send, files or none; it is asked when there is more than anybody may send.
    Files stay open until the request's lease is closed, memory is held until its place is left.
    """
    if request.method == "GET":
        return GraphQLRequest.of(_from_query_string(request.query_params, limits.allowance(signed_in=False)))
    if request.method != "POST":
        raise bad_request("Use GET for queries and POST for everything.", 405, allow="GET, POST")
    media, charset = _content_type(request.given.get("content-type", ""))
    if media not in (JSON, MULTIPART) or charset not in UTF_8:
        raise bad_request(f"Send {JSON} in UTF-8, or {MULTIPART} with files.", 415)
    body, files = Body(request, limits, deadline), media == MULTIPART
    request.place = spool.strangers.place()
    admission = Admission(limits.allowance(signed_in=False, files=files), partial(admit, files=files), request.place)
    if files:
        request.lease = spool.lease()
        asked = await with_files(body, Form(request.given["content-type"], limits, request.lease), admission)
    else:
        asked = await read_json(body, admission)
    if not isinstance(asked, list):
        return GraphQLRequest.of(asked)
    if not 1 <= len(asked) <= limits.batch:
        raise bad_request(f"A batch has 1 to {limits.batch} operations; this one has {len(asked)}.")
    return [GraphQLRequest.of(entry) for entry in asked]


@lru_cache(DIFFERENT_HEADERS)
def _content_type(header: str) -> tuple[str, str]:
    media, *parameters = (part.strip().lower() for part in header.split(";"))
    given = dict(parameter.partition("=")[::2] for parameter in parameters)
    return media, given.get("charset", "utf-8").strip('"')


def _from_query_string(given: Mapping[str, str], allowed: Allowance) -> dict[str, Any]:
    values: dict[str, Any] = dict(given)
    for name in ("variables", "extensions"):
        if values.get(name):
            values[name] = parsed(values[name], f"`{name}`", allowed)
    return {name: value for name, value in values.items() if value != ""}
