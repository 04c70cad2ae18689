"""The errors that clients get: those that were raised for them, with a stable code; of others only a request id.

An exception is meant for clients if it carries `extensions` with a `code`, which graphql-core copies.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from graphql import GraphQLError, GraphQLFormattedError, GraphQLSyntaxError

logger = structlog.get_logger(__name__)

INTERNAL = "INTERNAL_SERVER_ERROR"
MAX_REQUEST_ERRORS: Final = 20  # of a request that is not executed; one mistake makes many
MAX_FIELD_ERRORS: Final = 100
MAX_LOCATIONS: Final = 10  # of one error
MAX_MESSAGE_CHARACTERS: Final = 300  # messages quote what was sent
STATUS = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403, "RATE_LIMITED": 429, "SERVICE_UNAVAILABLE": 503, "TIMEOUT": 504}


class RequestError(Exception):
    """An operation, a request or a connection is refused; over HTTP with this status and these headers."""

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
        retry_after = {"retry-after": str(extensions["retryAfter"])} if "retryAfter" in extensions else {}
        self.headers = {**retry_after, **(headers or {})}

    @property
    def code(self) -> str:
        code: str = self.extensions["code"]
        return code

    def format_errors(self) -> list[GraphQLFormattedError]:
        """Returns the `errors` of a response."""
        return [{"message": shorten(str(self)), "extensions": self.extensions}]


class BadRequest(RequestError):
    """A request that is malformed, or that cannot be answered as it was sent."""

    def __init__(self, message: str, status: int = 400, **headers: str) -> None:
        super().__init__(message, {"code": "BAD_USER_INPUT"}, status, headers)


class InvalidOperation(Exception):
    """A request that is not executed: its document is not valid, too complex, or its variables do not fit."""

    def __init__(self, errors: Sequence[GraphQLError], *, invalid_document: bool = False) -> None:
        super().__init__(errors)
        self.errors = errors
        self.invalid_document = invalid_document

    @property
    def code(self) -> str:
        """The code of the first error."""
        return _code_of(self.errors[0], invalid_document=self.invalid_document) if self.errors else INTERNAL

    def format_errors(self, request_id: str) -> list[GraphQLFormattedError]:
        """Returns the `errors` of a response."""
        return format_errors(
            self.errors, request_id, invalid_document=self.invalid_document, max_errors=MAX_REQUEST_ERRORS
        )


class TooComplex(GraphQLError):
    """A document or an operation beyond one of the limits."""

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": "QUERY_TOO_COMPLEX"})


def format_errors(
    errors: Sequence[GraphQLError],
    request_id: str,
    *,
    invalid_document: bool = False,
    max_errors: int = MAX_FIELD_ERRORS,
) -> list[GraphQLFormattedError]:
    """Returns errors as they go over the wire. The last of `max_errors` says how many are left out."""
    shown = errors if len(errors) <= max_errors else errors[: max_errors - 1]
    formatted = [_format(error, request_id, invalid_document=invalid_document) for error in shown]
    if len(shown) < len(errors):
        message = f"{len(errors) - len(shown)} more errors are left out."
        code = _code_of(errors[len(shown)], invalid_document=invalid_document)
        formatted.append({"message": message, "extensions": {"code": code}})
    return formatted


def shorten(message: str) -> str:
    """Cuts a message off that quotes more than a few lines of what was sent."""
    return message if len(message) <= MAX_MESSAGE_CHARACTERS else f"{message[: MAX_MESSAGE_CHARACTERS - 1]}…"


def mask_error(error: BaseException | None, request_id: str, path: Sequence[str | int] | None = None) -> dict[str, Any]:
    """Returns the message and extensions of an error that is our fault; its cause goes to the log."""
    logger.error("an operation failed", path=path, request_id=request_id, exc_info=error)
    message = "Something went wrong on our side. The request id helps us find it."
    return {"message": message, "extensions": {"code": INTERNAL, "requestId": request_id}}


def _format(error: GraphQLError, request_id: str, *, invalid_document: bool) -> GraphQLFormattedError:
    formatted = error.formatted
    formatted["message"] = shorten(error.message)
    if locations := formatted.get("locations"):
        formatted["locations"] = locations[:MAX_LOCATIONS]
    extensions = dict(error.extensions or {})
    extensions["code"] = _code_of(error, invalid_document=invalid_document)
    formatted["extensions"] = extensions
    if extensions["code"] == INTERNAL:
        formatted.update(mask_error(error.original_error or error, request_id, error.path))  # type: ignore[typeddict-item]
    return formatted


def _code_of(error: GraphQLError, *, invalid_document: bool) -> str:
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
