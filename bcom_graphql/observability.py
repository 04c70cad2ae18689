"""Structured logs, each with the request that it belongs to."""

import logging
import sys
from collections.abc import Awaitable
from contextvars import ContextVar
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID_HEADER = "x-request-id"
request_id: ContextVar[str] = ContextVar("request_id", default="")


def configure_logging(format: str, level: str) -> None:
    """One line per event, on standard error."""
    for_people = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer = structlog.processors.JSONRenderer() if format == "json" else for_people
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if format == "json" else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(_StandardError()),  # type: ignore[arg-type]
    )


class _StandardError:
    """The standard error of the moment: tests and process managers replace it."""

    def write(self, line: str) -> None:
        sys.stderr.write(line)

    def flush(self) -> None:
        sys.stderr.flush()


class RequestId:
    """ASGI middleware: the client's own request id, or a new one, in the logs, in errors and in the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] not in ("http", "websocket"):
            return self.app(scope, receive, send)
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        id = given if given.isascii() and given.isprintable() and 0 < len(given) <= 100 else uuid4().hex
        request_id.set(id)
        if scope["type"] == "http":
            return self._answer(id, scope, receive, send)
        structlog.contextvars.bind_contextvars(request_id=id)  # in a socket's task, and so in a context of its own
        return self.app(scope, receive, send)

    async def _answer(self, id: str, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=id):
            await self.app(scope, receive, send_with_id)
