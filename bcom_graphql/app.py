"""Settings → database, registry, events → the Starlette app."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from bcom_graphql import __version__, demo
from bcom_graphql.authentication import open_context
from bcom_graphql.graphql import ide
from bcom_graphql.graphql.errors import Refused
from bcom_graphql.graphql.http import Gate, GraphQLServer, Ide
from bcom_graphql.observability import RequestId, configure_logging, request_id
from bcom_graphql.settings import Settings
from resolvers.accounts import ACCESS_TOPIC
from resolvers.context import Context, Services
from resolvers.errors import ClientError, Lagged, Unavailable
from resolvers.store.database import Database
from resolvers.store.events import EventFeed
from resolvers.store.registry import Registry
from resolvers.tokens import Tokens
from schema.root import schema

logger = structlog.get_logger(__name__)


def services(settings: Settings) -> Services:
    """What resolvers work with; DATABASE_URL must be set by now.

    A command that serves nobody needs no SECRET_KEY: a token that it might issue is good for nothing.
    """
    assert settings.database_url is not None  # noqa: S101
    secret = settings.secret_key.get_secret_value() if settings.secret_key else secrets.token_urlsafe()
    database = Database(settings.database_url.get_secret_value(), settings.pool_size)
    return Services(database, EventFeed(database), Registry(database), Tokens(secret), settings.retention_days)


def create() -> Starlette:
    """The application as the environment describes it: what uvicorn's workers call."""
    settings = Settings()
    configure_logging(settings.log_format, settings.log_level)
    return application(services(settings), feed_demo=settings.demo)


def application(services: Services, *, feed_demo: bool = False) -> Starlette:
    """The Starlette app over these services."""
    built = ide.is_built()
    gate = Gate(partial(_open, services), _subject, _expires_at, request_id.get)
    server = GraphQLServer(schema, gate, Ide(ide.page(), ide.policy(built=built)))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await services.feed.start()
        tasks = [asyncio.create_task(_watch_access(services, server))]
        if feed_demo:
            tasks.append(asyncio.create_task(demo.feed(services)))
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await services.feed.stop()
        await services.database.close()

    return Starlette(
        routes=[
            Route("/", lambda _: RedirectResponse("/graphql")),
            Route("/health", partial(_health, services)),
            Mount("/static", StaticFiles(directory=ide.STATIC)),
            Route("/graphql", server),
            WebSocketRoute("/graphql", server),
        ],
        middleware=[Middleware(RequestId)],
        lifespan=lifespan,
    )


async def _health(services: Services, _: Request) -> Response:
    """200 while the database answers, else 503."""
    try:
        async with services.database.read() as session:
            await session.execute(text("SELECT 1"))
    except Unavailable:
        return JSONResponse({"status": "unavailable", "version": __version__, "database": "down"}, 503)
    return JSONResponse({"status": "ok", "version": __version__, "database": "up"})


async def _watch_access(services: Services, server: GraphQLServer) -> None:
    """Whoever was signed out, deactivated or given another role has their open sockets checked again."""
    after: str | None = None
    while True:
        try:
            async for event in services.feed.follow(ACCESS_TOPIC, after):
                after = event.cursor
                await server.sockets.check_again(event.subject)
        except Lagged as lagged:
            after = lagged.resume_after
        except Unavailable:
            await asyncio.sleep(1.0)
        except Exception:  # the outermost loop of a worker: log and try again
            logger.exception("watching access failed, trying again")
            await asyncio.sleep(1.0)


async def _open(services: Services, headers: Mapping[str, object]) -> Context:
    try:
        return await open_context(services, headers)
    except ClientError as error:
        raise Refused(error.message, error.extensions) from error


def _subject(context: Context) -> str | None:
    return str(context.caller.user_id) if context.caller else None


def _expires_at(context: Context) -> float | None:
    return context.caller.expires_at if context.caller else None
