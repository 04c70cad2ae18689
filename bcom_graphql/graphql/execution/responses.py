"""An operation that is ready to be executed, and the response to it."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple, Self

from graphql import ExecutionResult

from bcom_graphql.graphql.compiled import Execution
from bcom_graphql.graphql.documents.reader import OperationPlan
from bcom_graphql.graphql.errors import STATUS, InvalidOperation, format_errors
from bcom_graphql.graphql.execution.operation_metrics import OK, OperationTimer
from bcom_graphql.graphql.execution.response_encoding import ByteBudget, encode_within
from bcom_graphql.graphql.json import encode

SMALL_COST: Final = 1000  # points; the response to a cheaper operation is small


class PreparedOperation(NamedTuple):
    """An operation that may begin; `document` is the SHA-256 of its document."""

    document: str
    plan: OperationPlan
    execution: Execution
    context: Any
    cost: int
    timer: OperationTimer
    broadcast_key: Hashable | None = None  # of a subscription: equal keys get equal responses to an event


class RetryAfter(NamedTuple):
    """After how many seconds a refused request may be sent again, and the HTTP status that says why."""

    seconds: int
    status: int


@dataclass(frozen=True)
class GraphQLResponse:
    """A response's body; `executed`: the document was valid and its variables fitted.

    `retry_after` is set if every root field was refused for now. An interrupted event stream may resume
    after `event_id`.
    """

    body: dict[str, Any]
    executed: bool = True
    cost: int = 0
    retry_after: RetryAfter | None = None
    event_id: str | None = None

    @cached_property
    def encoded(self) -> bytes:
        """The body as JSON: written once, however many it is sent to."""
        return encode(self.body)

    async def encode_within(self, budget: ByteBudget) -> None:
        """Writes `encoded`, large bodies with breaks for others. Raises RequestError if they exceed the budget."""
        if self.cost <= SMALL_COST:
            budget.spend(len(self.encoded))
        else:
            self.__dict__["encoded"] = await encode_within(self.body, budget)

    @property
    def outcome(self) -> str:
        """The code of the first error, or "ok"."""
        errors = self.body.get("errors")
        return errors[0]["extensions"]["code"] if errors else OK

    @classmethod
    def from_result(
        cls, prepared: PreparedOperation, result: ExecutionResult, request_id: str, event_id: str | None = None
    ) -> Self:
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body = {"errors": format_errors(result.errors, request_id), **body}
        retry_after = _find_retry_after(prepared.execution, result) if result.errors else None
        return cls(body, cost=prepared.cost, retry_after=retry_after, event_id=event_id)

    @classmethod
    def from_invalid_operation(cls, error: InvalidOperation, request_id: str) -> Self:
        return cls({"errors": error.format_errors(request_id)}, executed=False)


def _find_retry_after(execution: Execution, result: ExecutionResult) -> RetryAfter | None:
    """Returns how long to wait if every root field was refused.

    Mutations run one after the other: once the first has failed where null is not allowed, the others do not begin.
    """
    refusals: dict[Any, RetryAfter] = {
        error.path[0]: RetryAfter(error.extensions["retryAfter"], STATUS[error.extensions["code"]])
        for error in result.errors or ()
        if error.path and error.extensions and "retryAfter" in error.extensions
    }
    if not refusals:
        return None
    names = execution.root_keys
    began = names if result.data is not None else names[:1]
    return max(refusals.values()) if refusals.keys() >= set(began) else None
