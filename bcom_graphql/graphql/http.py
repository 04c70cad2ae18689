"""GraphQL over HTTP: Strawberry's view with our context, errors and encoder."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse
from strawberry.schema import BaseSchema
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult

from bcom_graphql.graphql.errors import Refused, presented
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

    async def get_context(self, request: Request | WebSocket, response: Any) -> Any:
        """Of a request; a socket's operations open theirs one by one."""
        return None if isinstance(request, WebSocket) else await self.gate.open(request.headers)

    async def run(self, request: Any, *arguments: Any, **options: Any) -> Any:
        """A request that cannot begin gets a GraphQL error, not a bare status."""
        try:
            return await super().run(request, *arguments, **options)
        except Refused as refused:
            body = encode({"errors": refused.presented()})
            return Response(body, refused.http_status, media_type="application/json")

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        response: GraphQLHTTPResponse = {"data": result.data}
        if result.errors:
            response["errors"] = [*presented(result, self.gate.request_id())]
        if result.extensions:
            response["extensions"] = result.extensions
        return response

    async def render_graphql_ide(self, request: Request) -> Response:
        return HTMLResponse(self.ide.html, headers={"content-security-policy": self.ide.policy})

    def encode_json(self, data: object) -> bytes:
        return encode(data)

    def decode_json(self, data: str | bytes) -> object:
        return orjson.loads(data)
