"""Builds the application from settings: the services, and the Starlette app over them."""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from bcom_graphql import lifespan
from bcom_graphql.authentication import ApplicationGate
from bcom_graphql.graphql.documents.store import read_trusted
from bcom_graphql.graphql.errors import RequestError, mask_error
from bcom_graphql.graphql.transports import ide
from bcom_graphql.graphql.transports.http import COST_HEADER, GraphQLServer, IdePage, make_denial
from bcom_graphql.graphql.transports.open_connections import STATE, OpenConnections
from bcom_graphql.hosts import AllowedHosts
from bcom_graphql.observability import tracing
from bcom_graphql.observability.health import Health
from bcom_graphql.observability.logging import REQUEST_ID_HEADER, RequestId, configure_logging, request_id
from bcom_graphql.observability.prometheus import Metrics
from bcom_graphql.security_headers import ALWAYS, SecurityHeaders
from bcom_graphql.services import build_services, rate_limits, wakeups
from bcom_graphql.settings import Settings
from resolvers.context import Services
from resolvers.recommendations.playbook_files import read_playbook
from resolvers.store.postgres.embedded import Supervised
from schema.root import schema

COLLECTIONS = (10_000, 10, 20)  # objects made between two, and how many of each generation before one of the next

logger = structlog.get_logger(__name__)


def check(settings: Settings) -> None:
    """Checks settings before anything is started. Raises ValueError or InvalidInput for what cannot be used."""
    if settings.trusted_documents:
        read_trusted(settings.trusted_documents)
    read_playbook(settings.playbook)
    rate_limits(settings)
    wakeups(settings)
    if settings.traces:
        tracing.check()


def _find_embedded(settings: Settings) -> Supervised | None:
    """Returns the embedded PostgreSQL; None if the database is another server's."""
    url = settings.database_url.get_secret_value() if settings.database_url else ""
    return Supervised.at(url, settings.data_folder)


def create() -> Starlette:
    """Returns the application that the environment describes. Each of uvicorn's server processes calls this."""
    settings = Settings()
    configure_logging(settings.log_format, settings.log_level)
    parts = build_services(settings)
    end_tracing = tracing.start(parts.database.engine) if settings.traces else None
    app = application(parts, settings, end_tracing)
    _collect_seldom()
    return app


def _collect_seldom() -> None:
    """Has Python collect garbage less often.

    A full collection stops the event loop: for 150 ms, with a thousand subscribers. Objects that live by now
    do so for ever, and are never looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)


def application(services: Services, settings: Settings, end_tracing: Callable[[], None] | None = None) -> Starlette:
    """Returns the Starlette app over these services. Raises ValueError for trusted documents that cannot be read."""
    server = GraphQLServer(
        schema,
        ApplicationGate(services),
        IdePage(ide.page(), partial(ide.policy, built=ide.is_built())),
        settings.limits,
        trusted=read_trusted(settings.trusted_documents) if settings.trusted_documents else None,
        allowed_origins=settings.allowed_origins,
        upload_folder=settings.upload_folder,
        compiled=settings.compiled,
    )
    embedded = _find_embedded(settings)
    metrics = Metrics(services, settings.metrics_token, embedded)
    connections = OpenConnections(settings.limits, settings.max_idle_seconds)
    parts = lifespan.Parts(services, settings, server, metrics, connections, end_tracing)

    @asynccontextmanager
    async def run_lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with lifespan.run(parts):
            yield {STATE: connections}

    app = Starlette(
        routes=_routes(parts, embedded),
        middleware=_middleware(settings, server),
        exception_handlers={Exception: _respond_to_bug},
        lifespan=run_lifespan,
    )
    app.router.redirect_slashes = False  # it would tell clients the Host and the scheme that a proxy sends us
    return app


def _routes(parts: lifespan.Parts, embedded: Supervised | None) -> list[BaseRoute]:
    """Returns all routes but GraphQL's, which no router looks up: see `_GraphQLShortcut`."""
    settings, server = parts.settings, parts.server

    async def to_graphql(_: Request) -> Response:
        """Redirects relatively, as a proxy may have put a prefix before the path."""
        return RedirectResponse(settings.graphql_path.removeprefix("/"))

    return [
        Route("/", to_graphql),
        *Health(parts.services, lambda: server.is_draining, embedded).routes(),
        *([Route("/metrics", parts.metrics.answer)] if settings.metrics else []),
        Mount("/static", StaticFiles(directory=ide.STATIC)),
    ]


def _middleware(settings: Settings, server: ASGIApp) -> list[Middleware]:
    return [
        *([Middleware(tracing.Continued)] if settings.traces else []),
        Middleware(RequestId),
        Middleware(SecurityHeaders),
        Middleware(AllowedHosts, allowed=settings.hosts),
        *_cors(settings.allowed_origins),
        Middleware(_GraphQLShortcut, server, path=settings.graphql_path),
    ]


class _GraphQLShortcut:
    """ASGI middleware that calls GraphQL without the router, and refuses WebSockets at other paths.

    The router would try one route after the other. It would also keep its part of the call stack as long as a
    WebSocket is open, which is memory for each.
    """

    def __init__(self, app: ASGIApp, server: ASGIApp, path: str) -> None:
        self._app, self._server = app, server
        self._paths = (path, f"{path}/")

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self._choose(scope)(scope, receive, send)

    def _choose(self, scope: Scope) -> ASGIApp:
        if scope["type"] not in ("http", "websocket"):
            return self._app
        if scope["path"].removeprefix(scope.get("root_path", "")) in self._paths:
            return self._server
        if scope["type"] == "http":
            return self._app
        return make_denial(RequestError(f"WebSockets are at {self._paths[0]}.", {"code": "NOT_FOUND"}, 404))


def _cors(origins: list[str]) -> list[Middleware]:
    """Returns the CORS middleware. Credentials mode stays off: tokens travel in a header, not in cookies."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],  # whatever an allowed origin asks for: tracing, clients' names and versions
            expose_headers=[COST_HEADER, REQUEST_ID_HEADER, "Retry-After"],
            max_age=86_400,
        )
    ]


async def _respond_to_bug(_: Request, error: Exception) -> Response:
    """Answers for an exception that nobody foresaw, outside of any operation."""
    headers = {**ALWAYS, REQUEST_ID_HEADER: request_id.get()}  # this answer passes no middleware
    return JSONResponse({"errors": [mask_error(error, request_id.get())]}, 500, headers)
