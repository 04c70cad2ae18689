"""What clients learn of errors: what was raised for them, with a stable code; of anything else only a request id.

An exception is meant for clients when it carries `extensions` with a `code`, which graphql-core copies.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from graphql import GraphQLError, GraphQLFormattedError, GraphQLSyntaxError

logger = structlog.get_logger(__name__)

INTERNAL = "INTERNAL_SERVER_ERROR"
MOST_REFUSALS: Final = 20  # errors of a request that is not executed; one mistake makes many
MOST_FAILURES: Final = 100  # errors of fields
MOST_LOCATIONS: Final = 10  # of one of them
LONGEST_MESSAGE: Final = 300  # characters; messages quote what was sent
STATUS = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403, "RATE_LIMITED": 429, "SERVICE_UNAVAILABLE": 503, "TIMEOUT": 504}


class Refused(Exception):
    """An operation, a request or a connection may not begin; over HTTP with this status and these headers."""

    def __init__(
        self,
        message: str,
        extensions: dict[str, Any],
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.extensions = extensions
        self.status = status or STATUS.get(self.code, 400)
        waiting = {"retry-after": str(extensions["retryAfter"])} if "retryAfter" in extensions else {}
        self.headers = {**waiting, **(headers or {})}

    @property
    def code(self) -> str:
        code: str = self.extensions["code"]
        return code

    def presented(self) -> list[GraphQLFormattedError]:
        """As the errors of a response."""
        return [{"message": shortened(str(self)), "extensions": self.extensions}]


class Rejected(Exception):
    """A request that is not executed: its document is not valid, too complex, or its variables do not fit."""

    def __init__(self, errors: Sequence[GraphQLError], *, invalid_document: bool = False) -> None:
        super().__init__(errors)
        self.errors = errors
        self.invalid_document = invalid_document

    @property
    def code(self) -> str:
        """Of the first error."""
        return _code(self.errors[0], invalid_document=self.invalid_document) if self.errors else INTERNAL

    def presented(self, request_id: str) -> list[GraphQLFormattedError]:
        """As the errors of a response."""
        return presented(self.errors, request_id, invalid_document=self.invalid_document, most=MOST_REFUSALS)


def bad_request(message: str, status: int = 400, **headers: str) -> Refused:
    """For what is no request, or cannot be answered as it is."""
    return Refused(message, {"code": "BAD_USER_INPUT"}, status, headers)


def too_complex(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": "QUERY_TOO_COMPLEX"})


def presented(
    errors: Sequence[GraphQLError], request_id: str, *, invalid_document: bool = False, most: int = MOST_FAILURES
) -> list[GraphQLFormattedError]:
    """Errors as they go over the wire: only so many, the last of which says how many more there are."""
    told = errors if len(errors) <= most else errors[: most - 1]
    shown = [_present(error, request_id, invalid_document=invalid_document) for error in told]
    if len(told) < len(errors):
        message = f"{len(errors) - len(told)} more errors are left out."
        code = _code(errors[len(told)], invalid_document=invalid_document)
        shown.append({"message": message, "extensions": {"code": code}})
    return shown


def shortened(message: str) -> str:
    """A message that quotes no more than a few lines of what was sent."""
    return message if len(message) <= LONGEST_MESSAGE else f"{message[: LONGEST_MESSAGE - 1]}…"


def masked(error: BaseException | None, request_id: str, path: Sequence[str | int] | None = None) -> dict[str, Any]:
    """The message and the extensions of an error that is our fault; its cause goes to the log."""
    logger.error("an operation failed", path=path, request_id=request_id, exc_info=error)
    message = "Something went wrong on our side. The request id helps us find it."
    return {"message": message, "extensions": {"code": INTERNAL, "requestId": request_id}}


def _present(error: GraphQLError, request_id: str, *, invalid_document: bool) -> GraphQLFormattedError:
    formatted = error.formatted
    formatted["message"] = shortened(error.message)
    if locations := formatted.get("locations"):
        formatted["locations"] = locations[:MOST_LOCATIONS]
    extensions = dict(error.extensions or {})
    extensions["code"] = _code(error, invalid_document=invalid_document)
    formatted["extensions"] = extensions
    if extensions["code"] == INTERNAL:
        formatted.update(masked(error.original_error or error, request_id, error.path))  # type: ignore[typeddict-item]
    return formatted


def _code(error: GraphQLError, *, invalid_document: bool) -> str:
    if code := (error.extensions or {}).get("code"):
        return str(code)
    if isinstance(error, GraphQLSyntaxError):
        return "GRAPHQL_PARSE_FAILED"
    if invalid_document:
        return "GRAPHQL_VALIDATION_FAILED"
    root = error.original_error
    while isinstance(root, GraphQLError):
        root = root.original_error
    return "BAD_USER_INPUT" if root is None and not error.path else INTERNAL
