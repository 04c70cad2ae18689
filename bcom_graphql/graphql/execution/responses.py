"""What an operation that may begin is, and what it is answered with."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple, Self

from graphql import ExecutionResult

from bcom_graphql.graphql.compiled import Execution
from bcom_graphql.graphql.documents.reader import Plan
from bcom_graphql.graphql.errors import STATUS, Rejected, presented
from bcom_graphql.graphql.execution.operation_metrics import OK, Watch
from bcom_graphql.graphql.execution.response_encoding import Room, written
from bcom_graphql.graphql.json import encode

CHEAP: Final = 1000  # points: what costs no more is no megabytes


class Prepared(NamedTuple):
    """An operation that may begin; `document` is its document's SHA-256."""

    document: str
    plan: Plan
    execution: Execution
    context: Any
    cost: int
    watch: Watch
    share: Hashable | None = None  # of a subscription: whoever has the same gets the same of each event


class Wait(NamedTuple):
    """For how long what was refused may not be asked again, and the status that says why."""

    seconds: int
    status: int


@dataclass(frozen=True)
class Answer:
    """A response's body; `executed`: the document was valid and its variables fitted.

    `wait` is set when every root field was refused for now. `event_id` is what an interrupted
    event stream may resume behind.
    """

    body: dict[str, Any]
    executed: bool = True
    cost: int = 0
    wait: Wait | None = None
    event_id: str | None = None

    @cached_property
    def encoded(self) -> bytes:
        """The body as JSON: written once, to however many it goes."""
        return encode(self.body)

    async def write(self, room: Room) -> None:
        """Make `encoded` ahead. Raises Refused where it would be too large."""
        if self.cost <= CHEAP:
            room.take(len(self.encoded))
        else:
            self.__dict__["encoded"] = await written(self.body, room)

    @property
    def outcome(self) -> str:
        """The code of the first error."""
        errors = self.body.get("errors")
        return errors[0]["extensions"]["code"] if errors else OK

    @classmethod
    def of(cls, prepared: Prepared, result: ExecutionResult, request_id: str, event_id: str | None = None) -> Self:
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body = {"errors": presented(result.errors, request_id), **body}
        wait = _wait(prepared.execution, result) if result.errors else None
        return cls(body, cost=prepared.cost, wait=wait, event_id=event_id)

    @classmethod
    def not_executed(cls, rejected: Rejected, request_id: str) -> Self:
        return cls({"errors": rejected.presented(request_id)}, executed=False)


def _wait(execution: Execution, result: ExecutionResult) -> Wait | None:
    """How long to wait, when no root field was let in.

    Mutations run one after the other: once the first has failed where null is not allowed, the others do not begin.
    """
    refusals: dict[Any, Wait] = {
        error.path[0]: Wait(error.extensions["retryAfter"], STATUS[error.extensions["code"]])
        for error in result.errors or ()
        if error.path and error.extensions and "retryAfter" in error.extensions
    }
    if not refusals:
        return None
    names = execution.root_keys
    began = names if result.data is not None else names[:1]
    return max(refusals.values()) if refusals.keys() >= set(began) else None
