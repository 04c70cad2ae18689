"""The server's processes: what must be there before them, what they are told, and their end."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import structlog
import uvicorn
from pydantic import SecretStr

from bcom_graphql import app, demo_account, host_names
from bcom_graphql.cli.database import database
from bcom_graphql.cli.demo import judge
from bcom_graphql.cli.output import console, fail, progress_bar
from bcom_graphql.cli.startup import make_ready
from bcom_graphql.demo.secret import secret_key
from bcom_graphql.observability import prometheus
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.server_processes import notice_deaths
from bcom_graphql.settings import Settings
from bcom_graphql.unknown_settings import unknown_settings
from resolvers.base.errors import ClientError
from resolvers.demo.report import describe_judgement

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
        _announce(host, port, complete)
        _hand_down(complete, host)
        notice_deaths()
        with _print_scorecard_at_end(complete):
            _serve(complete, host, port, workers)


@contextmanager
def _print_scorecard_at_end(settings: Settings) -> Iterator[None]:
    """Prints the demo's scorecard at the end."""
    try:
        yield
    finally:
        if settings.demo:
            _tell_score(settings)


def _serve(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serves until a signal comes, which is raised again when all has stopped."""
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
        ws_max_size=settings.max_message,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=settings.max_idle_seconds,  # type: ignore[arg-type]  # parts of a second are well with it
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


def _announce(host: str, port: int, settings: Settings) -> None:
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::") else host  # noqa: S104  a comparison
    console.print(f"GraphQL and GraphiQL  http://{shown}:{port}{settings.graphql_path}", highlight=False)
    console.print(f"Health                http://{shown}:{port}/health", highlight=False)
    if settings.demo:
        console.print(f"Demo sign-in          {demo_account.EMAIL} / {demo_account.PASSWORD}", highlight=False)
        console.print(f"Demo's clock          {_describe_clock(settings)}", highlight=False, soft_wrap=True)
        console.print("Demo's scorecard      bcom-graphql demo score, and when it stops", highlight=False)


def _describe_clock(settings: Settings) -> str:
    if settings.demo_speed <= 1.0:
        return "the real time"
    return f"starts in the past and runs {settings.demo_speed:g} times as fast, until it is the real time"


def _tell_score(settings: Settings) -> None:
    """Prints the scorecard of what was broken, if anything was."""
    try:
        judged = asyncio.run(judge(settings))
    except ClientError as error:
        console.print(f"The scorecard cannot be read: {error}", markup=False, highlight=False, soft_wrap=True)
        return
    if judged is not None and judged.card.faults:
        for line in describe_judgement(judged):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
