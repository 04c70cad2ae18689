"""What the protocol server asks of the application: contexts for operations, who calls, and what they may do."""

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple, Protocol


class Client(NamedTuple):
    """The sender of an operation: HTTP headers or a WebSocket's connection parameters, and the address.

    `resume_after` is the id of the last event that an interrupted event stream has seen (`Last-Event-ID`).
    """

    credentials: Mapping[str, object]
    address: str
    resume_after: str | None = None


class Identity(NamedTuple):
    """The caller that a context belongs to.

    subject: owns connections; the application names it to have them checked again.
    permissions: what the subject may do; a connection ends when they change.
    expires_at: epoch seconds.
    """

    subject: str
    permissions: Hashable
    expires_at: float | None
    signed_in: bool


class Gate(Protocol):
    """Implemented by the application. `open_context` and `charge` raise RequestError."""

    async def open_context(self, client: Client) -> Any:
        """Returns a context for one operation."""

    def identify(self, context: Any) -> Identity:
        """Returns the caller that the context belongs to."""

    def may_use(self, context: Any, root: str, field: str) -> bool:
        """Tells whether the caller's role may use a root field; otherwise its resolver refuses any arguments."""

    def check_may_upload(self, context: Any) -> None:
        """Raises RequestError if this caller may not send files at all."""

    def look_ahead(self, selected: Mapping[str, frozenset[str]]) -> Any:
        """Returns what the application wants to know of the selected fields, given by type.

        Called once per plan; the result is kept there and handed to `begin_operation`.
        """

    def begin_operation(self, context: Any, ahead: Any) -> None:
        """Prepares the context for an operation. Operations may share it."""

    def make_shared_context(self, context: Any) -> Any:
        """Returns a context with the same permissions but without a user, for responses that several callers share."""

    def allow_push(self, context: Any) -> None:
        """Lets the sources of this context's subscriptions yield `CaughtUp`, to have later events pushed."""

    async def wait_until_sent(self) -> None:
        """Waits until all queued events are sent. May never return if a subscriber stops reading."""

    async def charge(self, context: Any, points: int) -> None:
        """Charges the caller's budget for operations."""

    def request_id(self) -> str:
        """Returns the id of the current request."""
