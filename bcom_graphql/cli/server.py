"""The server's processes: what must be there before them, what they are told, and their end."""

import asyncio
import os
import signal
from types import FrameType
from typing import NoReturn

import structlog
import uvicorn
from pydantic import SecretStr

from bcom_graphql import app, demo_account, host_names
from bcom_graphql.cli.database import database
from bcom_graphql.cli.output import console, fail, progress_bar
from bcom_graphql.cli.startup import make_ready
from bcom_graphql.demo.secret import secret_key
from bcom_graphql.observability import prometheus
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.server_processes import notice_deaths
from bcom_graphql.settings import Settings
from bcom_graphql.unknown_settings import unknown_settings

logger = structlog.get_logger(__name__)


def run(settings: Settings, host: str, port: int, workers: int) -> None:
    """Makes the database ready and serves until a signal comes."""
    _exit_on_signals()
    _check(settings)
    configure_logging(settings.log_format, settings.log_level)
    for sentence in unknown_settings(os.environ):
        logger.warning(sentence)
    with database(_with_secret(settings)) as complete, prometheus.shared(workers):
        with progress_bar() as bar:
            asyncio.run(make_ready(complete, bar))
        _announce(host, port, complete.graphql_path, with_demo=complete.demo)
        _hand_down(complete, host)
        notice_deaths()
        uvicorn.run(
            "bcom_graphql.app:create",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            log_level="warning",
            http="bcom_graphql.graphql.transports.http_protocol:HttpProtocol",
            ws="bcom_graphql.graphql.transports.websocket_protocol:WebSocketProtocol",
            ws_per_message_deflate=False,
            ws_max_size=complete.max_message,
            forwarded_allow_ips=complete.trusted_proxies,
            timeout_keep_alive=complete.max_idle_seconds,  # type: ignore[arg-type]  # parts of a second are well with it
            timeout_graceful_shutdown=10,
            timeout_worker_healthcheck=60,  # several that start at once on a slow machine answer late
            server_header=False,
        )


def _check(settings: Settings) -> None:
    try:
        app.check(settings)
    except ValueError as error:
        fail(str(error))


def _with_secret(settings: Settings) -> Settings:
    """The demo makes its own where none is set."""
    if settings.secret_key is not None:
        return settings
    return settings.model_copy(update={"secret_key": SecretStr(secret_key(settings.data_folder))})


def _exit_on_signals() -> None:
    """Leaves through the `with` blocks: uvicorn raises the signal again when it has shut down."""

    def leave(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)


def _hand_down(settings: Settings, host: str) -> None:
    """Puts the settings into the environment, where uvicorn's worker processes read them."""
    for name, secret in (("DATABASE_URL", settings.database_url), ("SECRET_KEY", settings.secret_key)):
        os.environ[name] = secret.get_secret_value() if secret else ""
    os.environ["DEMO"] = str(settings.demo).lower()
    os.environ["PROFILE"] = settings.profile
    if not settings.hosts:
        os.environ["ALLOWED_HOSTS"] = host if host_names.ALLOWED.fullmatch(host.lower()) else ""


def _announce(host: str, port: int, path: str, *, with_demo: bool) -> None:
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::") else host  # noqa: S104  a comparison
    console.print(f"GraphQL and GraphiQL  http://{shown}:{port}{path}", highlight=False)
    console.print(f"Health                http://{shown}:{port}/health", highlight=False)
    if with_demo:
        console.print(f"Demo sign-in          {demo_account.EMAIL} / {demo_account.PASSWORD}", highlight=False)
