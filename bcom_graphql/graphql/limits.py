"""Bounds what clients may ask for."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from bcom_graphql.graphql.errors import BadRequest


class Introspection(StrEnum):
    """Who may see the schema, and gets suggestions in errors."""

    EVERYBODY = "everybody"
    SIGNED_IN = "signed-in"
    NOBODY = "nobody"


class Allowance(NamedTuple):
    """How much a caller may send: bytes, and values in JSON."""

    size: int
    values: int
    signed_in: bool = True

    def covers(self, size: int, values: int) -> bool:
        return size <= self.size and values <= self.values

    def check(self, size: int, values: int, what: str) -> None:
        """Raises BadRequest (413) if it is more."""
        if not self.covers(size, values):
            maximum, unit = (self.size, "bytes") if size > self.size else (self.values, "values")
            condition = "" if self.signed_in else " without signing in"
            raise BadRequest(f"{what} has more than the {maximum} {unit} that are allowed{condition}.", 413)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the protocol server; sizes in bytes, times in seconds."""

    depth: int = 20
    aliases: int = 100
    directives: int = 100
    root_fields: int = 50
    tokens: int = 5_000
    fields: int = 10_000  # of an operation, fragments counted wherever they are spread
    operations: int = 50  # of a document
    cost: int = 50_000
    page: int = 500
    batch: int = 10
    list: int = 150_000  # entries of a list in variables
    string: int = 2000  # characters of a text without a `@constraint`
    response: int = 64 * 1024 * 1024  # of a response, or of all responses of a batch
    body: int = 64 * 1024 * 1024  # a batch of 100 000 samples in rows takes about 30 MB
    values: int = 3_000_000  # commas and opening brackets in a body
    anonymous_body: int = 1024 * 1024  # of senders who have not signed in
    anonymous_values: int = 20_000
    anonymous_bodies: int = 64 * 1024 * 1024  # all of them in one process, without the first `FREE_BYTES` of each
    upload: int = 1024 * 1024 * 1024
    files: int = 10
    spooled: int = 2 * 1024 * 1024 * 1024  # of all uploads of one process together
    free_disk: int = 1024 * 1024 * 1024  # that uploads leave free
    slowest: int = 10_000  # bytes per second at which a request arrives, from its first `seconds` on
    seconds: float = 30.0
    upload_seconds: float = 900.0
    headers: int = 100
    header_bytes: int = 32 * 1024  # of the address and all headers
    header_seconds: float = 10.0  # from a connection's opening, or a request's beginning, until all have arrived
    open_connections: int = 20_000  # in one process; fewer where it may not open as many files
    pending_connections: int = 250  # sockets of one address before their connection_init; in all four times as many
    fragments: int = 1_000  # of a socket's message
    frames: int = 10_000  # of a socket in ten seconds
    init_seconds: float = 10.0  # from a socket's opening to its connection_init
    connections: int = 50  # sockets and event streams of one caller, in one process
    subscriptions: int = 100  # operations going on in one socket
    slow_seconds: float = 1.0  # a query or mutation that takes longer is logged; 0: never
    introspection: Introspection = Introspection.EVERYBODY

    def arrival_seconds(self, received: int) -> float:
        """Returns within how many seconds after its headers a body must arrive, `received` bytes of which are here."""
        return max(self.seconds, min(self.seconds + received / self.slowest, self.upload_seconds))

    def allowance(self, *, signed_in: bool, files: bool = False) -> Allowance:
        """Returns how much a caller may send, with `files` or without."""
        size = self.upload if files else self.body
        if signed_in:
            return Allowance(size, self.values)
        return Allowance(min(size, self.anonymous_body), min(self.values, self.anonymous_values), signed_in=False)
