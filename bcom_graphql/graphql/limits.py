"""What a client may ask for, at most."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from bcom_graphql.graphql.errors import bad_request


class Introspection(StrEnum):
    """Who may ask for the schema, and is told what they may have meant."""

    EVERYBODY = "everybody"
    SIGNED_IN = "signed-in"
    NOBODY = "nobody"


class Allowance(NamedTuple):
    """How much whoever asks may send: bytes, and values in JSON."""

    size: int
    values: int
    signed_in: bool = True

    def covers(self, size: int, values: int) -> bool:
        return size <= self.size and values <= self.values

    def refuse_beyond(self, size: int, values: int, what: str) -> None:
        """Raises Refused (413)."""
        if not self.covers(size, values):
            most, unit = (self.size, "bytes") if size > self.size else (self.values, "values")
            condition = "" if self.signed_in else " without signing in"
            raise bad_request(f"{what} has more than the {most} {unit} that are allowed{condition}.", 413)


@dataclass(frozen=True, slots=True)
class Limits:
    """All that is refused beyond; sizes in bytes, times in seconds."""

    depth: int = 20
    aliases: int = 100
    directives: int = 100
    root_fields: int = 50
    tokens: int = 5_000
    fields: int = 10_000  # of an operation, with its fragments opened
    operations: int = 50  # of a document
    cost: int = 50_000
    page: int = 500
    batch: int = 10
    list: int = 150_000  # entries of a list in variables
    string: int = 2000  # characters of a text of which the schema declares nothing else
    response: int = 64 * 1024 * 1024  # of an answer, or a batch's answers together
    body: int = 64 * 1024 * 1024  # a batch of 100 000 samples in rows takes about 30 MB
    values: int = 3_000_000  # commas and opening brackets in a body
    anonymous_body: int = 1024 * 1024  # while nobody has signed in
    anonymous_values: int = 20_000
    anonymous_bodies: int = 64 * 1024 * 1024  # together, in one process, without the first `FREE` bytes of each
    upload: int = 1024 * 1024 * 1024
    files: int = 10
    spooled: int = 2 * 1024 * 1024 * 1024  # of all uploads of one process together
    free_disk: int = 1024 * 1024 * 1024  # that uploads leave to others
    slowest: int = 10_000  # bytes per second at which a request arrives, from its first `seconds` on
    seconds: float = 30.0
    upload_seconds: float = 900.0
    headers: int = 100
    header_bytes: int = 32 * 1024  # of the address and all headers
    header_seconds: float = 10.0  # from a connection's opening, or a request's beginning, until they are there
    open_connections: int = 20_000  # in one process; fewer where it may not open as many files
    pending_connections: int = 250  # sockets of one address before their connection_init; in all four times as many
    fragments: int = 1_000  # of a socket's message
    frames: int = 10_000  # of a socket in ten seconds
    init_seconds: float = 10.0  # from a socket's opening to its connection_init
    connections: int = 50  # sockets and event streams of one caller, in one process
    subscriptions: int = 100  # operations going on in one socket
    slow_seconds: float = 1.0  # from here on a query or mutation is logged; 0: never
    introspection: Introspection = Introspection.EVERYBODY

    def arrival_seconds(self, received: int) -> float:
        """How long after its headers a request of which so many bytes are there may still be arriving."""
        return max(self.seconds, min(self.seconds + received / self.slowest, self.upload_seconds))

    def allowance(self, *, signed_in: bool, files: bool = False) -> Allowance:
        """How much a caller may send, with `files` or without."""
        size = self.upload if files else self.body
        if signed_in:
            return Allowance(size, self.values)
        return Allowance(min(size, self.anonymous_body), min(self.values, self.anonymous_values), signed_in=False)
