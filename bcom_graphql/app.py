"""Settings → database, registry, events, limits → the Starlette app."""

import asyncio
import gc
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from types import FrameType
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from bcom_graphql import demo
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
from resolvers.accounts.sessions import ACCESS_TOPIC
from resolvers.base.errors import Lagged, Unavailable
from resolvers.context import Services
from resolvers.detection import profile_worker as learner
from resolvers.operations import maintenance
from resolvers.recommendations import worker as advising
from resolvers.root_causes import worker as automatic
from resolvers.store.postgres.embedded import Supervised
from schema.root import schema

COLLECTIONS = (10_000, 10, 20)  # objects made between two, and how many of each generation before one of the next

logger = structlog.get_logger(__name__)


def check(settings: Settings) -> None:
    """Before anything is started. Raises ValueError for what settings name and cannot be used."""
    if settings.trusted_documents:
        read_trusted(settings.trusted_documents)
    rate_limits(settings)
    wakeups(settings)
    if settings.traces:
        tracing.check()


def _embedded(settings: Settings) -> Supervised | None:
    """None where the database is another server's."""
    url = settings.database_url.get_secret_value() if settings.database_url else ""
    return Supervised.at(url, settings.data_folder)


def create() -> Starlette:
    """The application as the environment describes it: what uvicorn's workers call."""
    settings = Settings()
    configure_logging(settings.log_format, settings.log_level)
    parts = build_services(settings)
    end_tracing = tracing.start(parts.database.engine) if settings.traces else None
    made = application(parts, settings, end_tracing)
    _collect_seldom()
    return made


def _collect_seldom() -> None:
    """Garbage, as each look at everything that lives stops the event loop: for 150 ms, with a thousand subscribers.

    What lives by now does so for ever and is never looked at again; what is made later is looked at less often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)


def application(services: Services, settings: Settings, end_tracing: Callable[[], None] | None = None) -> Starlette:
    """The Starlette app over these services. Raises ValueError for trusted documents that cannot be read."""
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

    embedded = _embedded(settings)
    metrics = Metrics(services, settings.metrics_token, embedded)
    connections = OpenConnections(settings.limits, settings.max_idle_seconds)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        services.live.start()
        await services.feed.start()
        tasks = [
            asyncio.create_task(_watch_access(services, server)),
            asyncio.create_task(maintenance.keep(services, settings.maintenance_seconds)),
            asyncio.create_task(learner.keep(services, settings.learning_seconds)),
            asyncio.create_task(metrics.keep()),
            asyncio.create_task(connections.watch()),
        ]
        if settings.automatic_analyses:
            tasks.append(asyncio.create_task(automatic.keep(services)))
        if settings.automatic_recommendations:
            tasks.append(asyncio.create_task(advising.keep(services)))
        if settings.demo:
            tasks.append(asyncio.create_task(demo.feed(services)))
        _when_told_to_stop(partial(server.drain, settings.shutdown_seconds))
        yield {STATE: connections}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        metrics.stop()
        await services.trainers.stop()
        await services.live.stop()
        await services.feed.stop()
        await services.rates.close()
        await services.database.close()
        if end_tracing is not None:
            await asyncio.to_thread(end_tracing)

    async def to_graphql(_: Request) -> Response:
        """Relative, as a proxy may have put a prefix before it."""
        return RedirectResponse(settings.graphql_path.removeprefix("/"))

    made = Starlette(
        routes=[
            Route("/", to_graphql),
            *Health(services, lambda: server.is_draining, embedded).routes(),
            *([Route("/metrics", metrics.answer)] if settings.metrics else []),
            Mount("/static", StaticFiles(directory=ide.STATIC)),
        ],
        middleware=[
            *([Middleware(tracing.Continued)] if settings.traces else []),
            Middleware(RequestId),
            Middleware(SecurityHeaders),
            Middleware(AllowedHosts, allowed=settings.hosts),
            *_cors(settings.allowed_origins),
            Middleware(_Shortcut, server, path=settings.graphql_path),
        ],
        exception_handlers={Exception: _failed},
        lifespan=lifespan,
    )
    made.router.redirect_slashes = False  # it would tell clients the Host and the scheme that a proxy sends us
    return made


class _Shortcut:
    """ASGI middleware: straight to GraphQL, past the router, and for sockets nowhere else.

    It tries one route after the other; and each call on a socket's way is kept while it is open.
    """

    def __init__(self, app: ASGIApp, server: ASGIApp, path: str) -> None:
        self._app, self._server = app, server
        self._paths = (path, f"{path}/")

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self._of(scope)(scope, receive, send)

    def _of(self, scope: Scope) -> ASGIApp:
        if scope["type"] not in ("http", "websocket"):
            return self._app
        if scope["path"].removeprefix(scope.get("root_path", "")) in self._paths:
            return self._server
        if scope["type"] == "http":
            return self._app
        return make_denial(RequestError(f"WebSockets are at {self._paths[0]}.", {"code": "NOT_FOUND"}, 404))


def _when_told_to_stop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Before the server does: uvicorn closes sockets at once, and waits for event streams, which have no end.

    It has set its own handlers by now, and puts back what was there before them when it leaves. Who asks twice does not
    want to wait for the work.
    """
    loop, begun = asyncio.get_running_loop(), list[asyncio.Task[None]]()

    def begin(then: Callable[[], Any]) -> None:
        begun.append(asyncio.create_task(work(), name="draining"))
        begun[0].add_done_callback(lambda _: then())

    def chained(then: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            if begun or loop.is_closed():
                then(number, frame)
            else:
                loop.call_soon_threadsafe(begin, partial(then, number, frame))

        return handle

    for number in (signal.SIGTERM, signal.SIGINT):
        then = signal.getsignal(number)
        if callable(then) and threading.current_thread() is threading.main_thread():
            signal.signal(number, chained(then))


def _cors(origins: list[str]) -> list[Middleware]:
    """Tokens travel in a header, not in cookies: no credentials mode."""
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


async def _failed(_: Request, error: Exception) -> Response:
    """What nobody foresaw, outside of any operation."""
    headers = {**ALWAYS, REQUEST_ID_HEADER: request_id.get()}  # this answer passes no middleware
    return JSONResponse({"errors": [mask_error(error, request_id.get())]}, 500, headers)


async def _watch_access(services: Services, server: GraphQLServer) -> None:
    """Whoever was signed out, deactivated or given another role has their open sockets checked again."""
    after = services.feed.cursor
    while True:
        try:
            async for event in services.feed.follow(ACCESS_TOPIC, after):
                after = event.cursor
                await server.connections.check_again(event.subject)
        except Lagged as lagged:
            after = lagged.resume_after or after
        except Unavailable:
            await asyncio.sleep(1.0)
        except Exception:  # the outermost loop of a worker: log and try again
            logger.exception("watching access failed, trying again")
            await asyncio.sleep(1.0)
