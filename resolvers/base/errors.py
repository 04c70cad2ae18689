"""Expected failures. Each message says what to do, and each class has the API's stable error code."""

from collections.abc import Sequence
from typing import Any

from resolvers.base.roles import Role


class ClientError(Exception):
    """An expected failure: a member of the field's result union if it has one for it, else a GraphQL error."""

    code = "BAD_USER_INPUT"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    @property
    def extensions(self) -> dict[str, Any]:
        """The GraphQL error's extensions; graphql-core copies an attribute of this name."""
        return {"code": self.code}


class InvalidInput(ClientError):
    """Well-formed but unacceptable input; `path` names the field."""

    def __init__(self, message: str, path: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.path = list(path)

    @property
    def extensions(self) -> dict[str, Any]:
        return {"code": self.code, "inputPath": self.path}


class NotFound(ClientError):
    code = "NOT_FOUND"

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no such {what}.")


class Conflict(ClientError):
    """The current state does not allow this. instead: type and key of the object to act on, if there is one."""

    code = "CONFLICT"

    def __init__(self, message: str, instead: tuple[str, object] | None = None) -> None:
        super().__init__(message)
        self.instead = instead


class InvalidCredentials(ClientError):
    code = "UNAUTHENTICATED"


class Unauthenticated(ClientError):
    code = "UNAUTHENTICATED"


class Forbidden(ClientError):
    code = "FORBIDDEN"

    def __init__(self, message: str, required_role: Role | None = None) -> None:
        super().__init__(message)
        self.required_role = required_role


class Lagged(ClientError):
    """A subscriber read more slowly than events came. `resume_after`: the cursor to go on from, if there is one."""

    code = "LAGGED"

    def __init__(self, resume_after: str | None = None) -> None:
        how = " with `after: resumeAfter`" if resume_after is not None else "; what it missed is in `series`"
        super().__init__(f"This subscription fell too far behind. Subscribe again{how}.")
        self.resume_after = resume_after

    @property
    def extensions(self) -> dict[str, Any]:
        resume = {} if self.resume_after is None else {"resumeAfter": self.resume_after}
        return {"code": self.code, **resume}


class Expired(Lagged):
    """A subscriber's cursor is older than the oldest event that is kept, so it has lost events."""

    code = "CURSOR_EXPIRED"

    def __init__(self, oldest_cursor: str) -> None:
        super().__init__(oldest_cursor)
        self.oldest_cursor = oldest_cursor
        self.message = (
            "The events after this cursor are no longer kept. What happened since is in `anomalies` and"
            " `recommendations`. Subscribe again with `after: oldestCursor`, or without `after`."
        )
        self.args = (self.message,)

    @property
    def extensions(self) -> dict[str, Any]:
        return {"code": self.code, "oldestCursor": self.oldest_cursor}


class RateLimited(ClientError):
    """The caller's budget is used up."""

    code = "RATE_LIMITED"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(f"{message} Try again in {retry_after} s.")
        self.retry_after = retry_after  # seconds

    @property
    def extensions(self) -> dict[str, Any]:
        return {"code": self.code, "retryAfter": self.retry_after}


class Unavailable(ClientError):
    """The database is away; retry later. `reason` is for the log, not for clients."""

    code = "SERVICE_UNAVAILABLE"

    def __init__(
        self,
        message: str = "The database is unavailable; nothing was stored. Try again shortly.",
        reason: str = "",
    ) -> None:
        super().__init__(message)
        self.reason = reason


class Busy(ClientError):
    """Too many others wait, so this was not begun; retry later."""

    code = "SERVICE_UNAVAILABLE"

    def __init__(self, message: str, retry_after: int = 10) -> None:
        super().__init__(f"{message} Try again in {retry_after} s.")
        self.retry_after = retry_after  # seconds

    @property
    def extensions(self) -> dict[str, Any]:
        return {"code": self.code, "retryAfter": self.retry_after}


class TimedOut(ClientError):
    """The database stopped a slow statement; do not retry the same."""

    code = "TIMEOUT"

    def __init__(self) -> None:
        super().__init__(
            "The database took too long over this and was stopped; nothing was stored."
            " Ask for less at once: a shorter window, fewer targets, a smaller batch."
        )


def to_camel_case(column: str) -> str:
    """Returns the API's name of a column."""
    first, *rest = column.split("_")
    return first + "".join(word.capitalize() for word in rest)
