"""The parameters of a GraphQL request, whichever transport they came by.

https://graphql.github.io/graphql-over-http/draft/#sec-Request-Parameters
"""

from typing import Any, Final, NamedTuple

from bcom_graphql.graphql.errors import BadRequest

MEMBERS: Final[tuple[tuple[str, type, str], ...]] = (
    ("query", str, "a string"),
    ("variables", dict, "an object"),
    ("operationName", str, "a string"),
    ("extensions", dict, "an object"),
    ("documentId", str, "a string"),
)


class GraphQLRequest(NamedTuple):
    """A document, or the id of one, with the values of its variables and which operation to execute."""

    query: str | None
    variables: dict[str, Any] | None = None
    name: str | None = None
    document_id: str | None = None

    @classmethod
    def of(cls, body: Any) -> "GraphQLRequest":
        """Reads the parameters from JSON. Raises RequestError for missing or malformed ones."""
        if not isinstance(body, dict):
            raise BadRequest("A request is a JSON object with `query`, or a list of such.")
        for name, kind, words in MEMBERS:
            if (value := body.get(name)) is not None and not isinstance(value, kind):
                raise BadRequest(f"`{name}` must be {words}.")
        query, id = body.get("query") or None, _document_id(body)
        if query is None and id is None:
            raise BadRequest("A request needs a `query`, a `documentId` or `extensions.persistedQuery`.")
        return cls(query, body.get("variables"), body.get("operationName"), id)


def _document_id(body: dict[str, Any]) -> str | None:
    """Returns a registered document's id, or the SHA-256 of an automatic persisted query (Apollo, version 1)."""
    persisted = (body.get("extensions") or {}).get("persistedQuery")
    if persisted is None:
        id: str | None = body.get("documentId")
        return id.removeprefix("sha256:") if id else None
    hash = persisted.get("sha256Hash") if isinstance(persisted, dict) and persisted.get("version", 1) == 1 else None
    if not isinstance(hash, str):
        raise BadRequest("`extensions.persistedQuery` has `version: 1` and a `sha256Hash`.")
    return hash.lower()
