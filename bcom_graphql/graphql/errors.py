"""What clients learn of errors: what was raised for them, with a stable code; of anything else only a request id.

An exception is meant for clients when it carries `extensions` with a `code`, which graphql-core copies.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from graphql import GraphQLError, GraphQLFormattedError, GraphQLSyntaxError
from strawberry.types.execution import PreExecutionError

logger = structlog.get_logger(__name__)

INTERNAL = "INTERNAL_SERVER_ERROR"


class Refused(Exception):
    """An operation, a request or a socket may not begin; over HTTP with this status and these headers."""

    def __init__(
        self,
        message: str,
        extensions: dict[str, Any],
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.extensions = extensions
        self.status = status or {"UNAUTHENTICATED": 401, "SERVICE_UNAVAILABLE": 503}.get(self.code, 400)
        self.headers = headers

    @property
    def code(self) -> str:
        code: str = self.extensions["code"]
        return code

    def presented(self) -> list[GraphQLFormattedError]:
        """As the errors of a response."""
        return [{"message": str(self), "extensions": self.extensions}]


def presented(result: Any, request_id: str) -> list[GraphQLFormattedError]:
    """The errors of an execution result as they go over the wire."""
    rejected = isinstance(result, PreExecutionError)  # the document was not executed
    return [_present(error, request_id, rejected=rejected) for error in result.errors or ()]


def _present(error: GraphQLError, request_id: str, *, rejected: bool) -> GraphQLFormattedError:
    formatted = error.formatted
    extensions = dict(error.extensions or {})
    if "code" not in extensions:
        extensions["code"] = _code(error, rejected=rejected)
    if extensions["code"] == INTERNAL:
        logger.error("an operation failed", path=error.path, request_id=request_id, exc_info=error.original_error)
        formatted["message"] = "Something went wrong on our side. The request id helps us find it."
        extensions = {"code": INTERNAL, "requestId": request_id}
    formatted["extensions"] = extensions
    return formatted


def _code(error: GraphQLError, *, rejected: bool) -> str:
    if isinstance(error, GraphQLSyntaxError):
        return "GRAPHQL_PARSE_FAILED"
    if rejected:
        return "GRAPHQL_VALIDATION_FAILED"
    root = error.original_error
    while isinstance(root, GraphQLError):
        root = root.original_error
    return "BAD_USER_INPUT" if root is None and not error.path else INTERNAL
