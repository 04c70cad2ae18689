"""What the protocol asks of the application: a context per operation, whose it is, and whether they may go on."""

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple, Protocol


class Client(NamedTuple):
    """Where an operation comes from: HTTP headers or the WebSocket's connection parameters, and the peer's address.

    `resume_after` is the last event's id that an interrupted event stream had seen (`Last-Event-ID`).
    """

    credentials: Mapping[str, object]
    address: str
    resume_after: str | None = None


class Identity(NamedTuple):
    """Whose a context is.

    `subject` owns connections, and is what the application names when it wants them checked again. `standing` is what
    the subject may do: a connection ends when it changes. `expires_at` is in epoch seconds.
    """

    subject: str
    standing: Hashable
    expires_at: float | None
    signed_in: bool


class Gate(Protocol):
    """Implemented by the application. `open` and `spend` raise Refused."""

    async def open(self, client: Client) -> Any:
        """A context for one operation."""

    def identity(self, context: Any) -> Identity:
        """Whose the context is."""

    def may(self, context: Any, root: str, field: str) -> bool:
        """Whether the caller's role lets them use a root field; else its resolver refuses it, whatever is given."""

    def admit_files(self, context: Any) -> None:
        """Raises Refused unless this caller may send files, whatever for."""

    def look_ahead(self, selected: Mapping[str, frozenset[str]]) -> Any:
        """What the application wants to know of an operation: the names of the fields that it selects, by type.

        Asked once for an operation's plan; the result is kept with it, for `begin`.
        """

    def begin(self, context: Any, ahead: Any) -> None:
        """An operation is about to be executed in this context; others may be, too, that share it."""

    def fresh(self, context: Any) -> Any:
        """A context of the same standing but nobody's own, for what all of that standing share."""

    def push(self, context: Any) -> None:
        """Events of this context's subscriptions may be pushed: their sources may say that they have caught up."""

    async def settled(self) -> None:
        """When subscribers were sent everything that has happened; one that does not read never was."""

    async def spend(self, context: Any, points: int) -> None:
        """Charge the caller's budget for operations."""

    def request_id(self) -> str:
        """The present request's."""
