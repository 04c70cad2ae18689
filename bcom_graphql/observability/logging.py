"""Structured logs, each line with the id of its request."""

import logging
import os
import sys
from collections.abc import Awaitable
from contextvars import ContextVar
from itertools import count
from secrets import token_hex

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import EventDict

REQUEST_ID_HEADER = "x-request-id"
RAW_HEADER = REQUEST_ID_HEADER.encode()
request_id: ContextVar[str] = ContextVar("request_id", default="")


def configure_logging(format: str, level: str) -> None:
    """Sets logging up: one line per event, on standard error."""
    for_people = structlog.dev.ConsoleRenderer(colors=has_colours(), exception_formatter=structlog.dev.plain_traceback)
    renderer = structlog.processors.JSONRenderer() if format == "json" else for_people
    structlog.configure(
        processors=[
            with_request_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if format == "json" else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(_StandardError()),  # type: ignore[arg-type]
    )


def has_colours() -> bool:
    """True on a terminal, unless NO_COLOR or FORCE_COLOR say otherwise: https://no-color.org, https://force-color.org."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stderr.isatty()


def with_request_id(_: object, __: str, event: EventDict) -> EventDict:
    """Adds the request id; a structlog processor."""
    if id := request_id.get():
        event.setdefault("request_id", id)
    return event


class _StandardError:
    """Writes to the current `sys.stderr`, which tests and process managers replace."""

    def write(self, line: str) -> None:
        sys.stderr.write(line)

    def flush(self) -> None:
        sys.stderr.flush()


class RequestId:
    """ASGI middleware: puts the client's request id, or a new one, into logs, errors and the response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] not in ("http", "websocket"):
            return self.app(scope, receive, send)
        given = next((value for name, value in scope["headers"] if name == RAW_HEADER), b"").decode("latin-1")
        id = given if given.isascii() and given.isprintable() and 0 < len(given) <= 100 else _new_id()
        request_id.set(id)  # each request has a task and so a context of its own
        return self.app(scope, receive, _sending(id, send) if scope["type"] == "http" else send)


_PROCESS = token_hex(8)
_numbers = count(1)


def _new_id() -> str:
    """Returns an id that no other process makes; cheaper than random bytes each time."""
    return f"{_PROCESS}{next(_numbers):016x}"


def _sending(id: str, send: Send) -> Send:
    own = RAW_HEADER, id.encode()

    def send_with_id(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], own]
        return send(message)

    return send_with_id
