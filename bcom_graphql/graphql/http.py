"""GraphQL over HTTP, as the specification has it; people who look get GraphiQL."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.schema import BaseSchema
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from bcom_graphql.graphql.errors import Refused, presented
from bcom_graphql.graphql.requests import JSON, Operation, answer_type, operations
from bcom_graphql.graphql.websocket import Handler, Sockets, TextFrames


@dataclass(frozen=True)
class Gate:
    """What the protocol asks of the application: a context per operation, and whose it is.

    `open` takes HTTP headers or the WebSocket's connection parameters, and raises Refused.
    """

    open: Callable[[Mapping[str, object]], Awaitable[Any]]
    subject: Callable[[Any], str | None]
    expires_at: Callable[[Any], float | None]
    request_id: Callable[[], str]


@dataclass(frozen=True)
class Ide:
    """The page for people, and the Content-Security-Policy that it needs."""

    html: str
    policy: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A response's body; `executed`: the document was valid and its variables fitted."""

    body: dict[str, Any]
    executed: bool

    @classmethod
    def of(cls, result: ExecutionResult, request_id: str) -> Self:
        body: dict[str, Any] = {}
        if result.errors:
            body["errors"] = presented(result, request_id)
        executed = result.data is not None or any(error.path for error in result.errors or ())
        if executed:
            body = {"data": result.data} | body
        return cls(body | ({"extensions": result.extensions} if result.extensions else {}), executed)

    def status(self, media: str) -> int:
        """Plain JSON keeps to 200, as clients of old expect; the newer type says with 400 that nothing ran."""
        return 200 if self.executed or media == JSON else 400


def encode(data: object) -> bytes:
    """JSON; numpy arrays directly, NaN as null."""
    return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)


class GraphQLServer(GraphQL[Any, None]):
    """One endpoint for queries, mutations, subscriptions and people."""

    websocket_adapter_class = TextFrames
    graphql_transport_ws_handler_class = Handler

    def __init__(self, schema: BaseSchema, gate: Gate, ide: Ide) -> None:
        super().__init__(schema, subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL])
        self.gate = gate
        self.ide = ide
        self.sockets = Sockets()

    async def get_context(self, request: Any, response: Any) -> None:
        """None for a socket: its operations open theirs one by one."""

    async def run(self, request: Any, *arguments: Any, **options: Any) -> Any:
        """A socket is Strawberry's business, with our handler; a request is ours."""
        if isinstance(request, WebSocket):
            return await super().run(request, *arguments, **options)
        if request.method == "GET" and "query" not in request.query_params and _wants_page(request):
            return HTMLResponse(self.ide.html, headers={"content-security-policy": self.ide.policy})
        media = JSON
        try:
            media = answer_type(request.headers.get("accept", ""))
            return await self._answer(request, media)
        except Refused as refused:
            body = encode({"errors": refused.presented()})
            return Response(body, refused.status, refused.headers, media_type=media)

    async def _answer(self, request: Request, media: str) -> Response:
        asked = await operations(request)
        if isinstance(asked, Operation):
            answer = await self._execute(request, asked)
            return Response(encode(answer.body), answer.status(media), media_type=media)
        bodies = await asyncio.gather(*(self._execute_of_batch(request, operation) for operation in asked))
        return Response(encode(bodies), media_type=media)

    async def _execute_of_batch(self, request: Request, operation: Operation) -> dict[str, Any]:
        """One that may not begin leaves the others alone."""
        try:
            return (await self._execute(request, operation)).body
        except Refused as refused:
            return {"errors": refused.presented()}

    async def _execute(self, request: Request, operation: Operation) -> Answer:
        """In a context of its own, also within a batch."""
        allowed = {OperationType.QUERY} if request.method == "GET" else {OperationType.QUERY, OperationType.MUTATION}
        try:
            result = await self.schema.execute(
                operation.query,
                variable_values=operation.variables,
                context_value=await self.gate.open(request.headers),
                operation_name=operation.name,
                allowed_operation_types=allowed,
                operation_extensions=operation.extensions,
            )
        except CannotGetOperationTypeError as error:
            raise Refused(_which(error), {"code": "BAD_USER_INPUT"}) from error
        except InvalidOperationTypeError as error:
            raise _wrong_way(error, request.method) from error
        return Answer.of(result, self.gate.request_id())

    def encode_json(self, data: object) -> bytes:
        return encode(data)

    def decode_json(self, data: str | bytes) -> object:
        return orjson.loads(data)


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _which(error: CannotGetOperationTypeError) -> str:
    if error.operation_name is None:
        return "The document has several operations; say which with `operationName`."
    return f"The document has no operation named {error.operation_name!r}."


def _wrong_way(error: InvalidOperationTypeError, method: str) -> Refused:
    if error.operation_type is OperationType.SUBSCRIPTION:
        return Refused("Subscriptions need a WebSocket (graphql-transport-ws).", {"code": "BAD_USER_INPUT"})
    message = f"A {error.operation_type.value} cannot be sent with {method}; use POST."
    return Refused(message, {"code": "BAD_USER_INPUT"}, 405, {"allow": "POST"})
