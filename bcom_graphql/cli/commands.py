"""The command line: serve | migrate | train | evaluate | import | models | user | export-schema | permissions |
settings | secret.
"""

import asyncio
import ipaddress
import os
import secrets
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import asyncpg
import structlog
import typer
import uvicorn
from pydantic import SecretStr, ValidationError
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from bcom_graphql import app, demo, demo_account, host_names, permissions
from bcom_graphql.cli import evaluate as evaluation_command
from bcom_graphql.cli import migrate as migration_command
from bcom_graphql.cli import models as model_commands
from bcom_graphql.cli import readme
from bcom_graphql.cli import startup as prepare
from bcom_graphql.cli import train as training_commands
from bcom_graphql.cli import user as user_commands
from bcom_graphql.observability import prometheus as metrics
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.settings import Settings
from bcom_graphql.unknown_settings import unknown_settings
from bcom_graphql.workers import notice_deaths
from ml.catalogue.metrics import TargetKind
from resolvers.base.access import SYSTEM
from resolvers.base.errors import ClientError
from resolvers.context import Context
from resolvers.store.postgres.embedded import EmbeddedFailed
from resolvers.store.postgres.migrations import migrate as migrate_database
from resolvers.telemetry.file_import import Tally, import_file, open_file
from schema.root import schema

SHOWN_REJECTIONS = 10
SCHEMA_FILE = Path("schema/schema.graphql")

commands = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
commands.add_typer(model_commands.group, name="models")
commands.add_typer(user_commands.group, name="user")
console = Console(stderr=True)
logger = structlog.get_logger(__name__)


def main() -> None:
    """Run a command; what a person can mend is said in a sentence, with exit code 1."""
    try:
        commands()
    except ValidationError as error:
        _fail("\n".join(f"{'.'.join(map(str, e['loc'])).upper()} {_reason(e)}".strip() for e in error.errors()))
    except (ClientError, EmbeddedFailed) as error:
        _fail(getattr(error, "reason", "") or str(error))
    except (SQLAlchemyError, asyncpg.PostgresError, OSError) as error:
        _fail(f"The database cannot be used: {getattr(error, 'orig', None) or error}\nCheck DATABASE_URL.")


def _reason(error: Any) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


def _fail(message: str) -> NoReturn:
    console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(1)


@commands.command()
def serve(
    *,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Where to listen.", min=1, max=65535)] = 8010,
    workers: Annotated[int, typer.Option(help="Server processes.", min=1, max=64)] = 1,
    with_demo: Annotated[bool, typer.Option("--demo", help="With an invented fleet that lives.")] = False,
    in_public: Annotated[
        bool, typer.Option("--demo-in-public", help="The demo on other addresses than this machine's own, too.")
    ] = False,
) -> None:
    """Serve GraphQL, /health and /metrics; migrations and missing models come first."""
    _exit_on_sigterm()
    if with_demo and not (in_public or _is_loopback(host)):
        _fail(
            f"Everybody knows the password of the demo's admin, so it is not served on {host}."
            " Leave out --host, or add --demo-in-public if whoever reaches this address may do anything with the demo."
        )
    _check_free(host, port)
    settings = _serving(Settings(), with_demo=with_demo)
    configure_logging(settings.log_format, settings.log_level)
    for sentence in unknown_settings(os.environ):
        logger.warning(sentence)
    with prepare.database(settings) as complete, metrics.shared(workers):
        with prepare.progress_bar() as bar:
            asyncio.run(prepare.ready(complete, bar))
        _announce(host, port, complete.graphql_path, with_demo=with_demo)
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


def _check_free(host: str, port: int) -> None:
    """Before anything is started or promised."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        _fail(f"Cannot listen on {host}:{port} ({error.strerror}); choose another with --host and --port.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _serving(settings: Settings, *, with_demo: bool) -> Settings:
    try:
        app.check(settings)
    except ValueError as error:
        _fail(str(error))
    settings = settings.model_copy(update={"demo": with_demo} | ({"profile": "development"} if with_demo else {}))
    if settings.secret_key is None and not with_demo:
        _fail("SECRET_KEY is not set. Make one with `bcom-graphql secret` and put it into the environment or .env.")
    if settings.secret_key is None:
        settings = settings.model_copy(update={"secret_key": SecretStr(demo.secret_key(settings.data_folder))})
    return settings


def _hand_down(settings: Settings, host: str) -> None:
    """Workers are processes of their own: they read the same settings from the environment."""
    for name, secret in (("DATABASE_URL", settings.database_url), ("SECRET_KEY", settings.secret_key)):
        os.environ[name] = secret.get_secret_value() if secret else ""
    os.environ["DEMO"] = str(settings.demo).lower()
    os.environ["PROFILE"] = settings.profile
    if not settings.hosts:
        os.environ["ALLOWED_HOSTS"] = host if host_names.ALLOWED.fullmatch(host.lower()) else ""


def _exit_on_sigterm() -> None:
    """Leave through the `with` blocks: uvicorn raises the signal again when it has shut down."""

    def leave(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)


def _announce(host: str, port: int, path: str, *, with_demo: bool) -> None:
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::") else host  # noqa: S104  a comparison
    console.print(f"GraphQL and GraphiQL  http://{shown}:{port}{path}", highlight=False)
    console.print(f"Health                http://{shown}:{port}/health", highlight=False)
    if with_demo:
        console.print(f"Demo sign-in          {demo_account.EMAIL} / {demo_account.PASSWORD}", highlight=False)


commands.command("migrate")(migration_command.migrate)
commands.command("train")(training_commands.train)
commands.command("evaluate")(evaluation_command.evaluate)
commands.command("train-run", hidden=True)(training_commands.train_run)


@commands.command("import")
def import_(
    *,
    file: Annotated[Path, typer.Argument(help="CSV or Parquet, its columns named like the sample input's fields.")],
    kind: Annotated[TargetKind, typer.Option(case_sensitive=False, help="What the samples were measured on.")],
) -> None:
    """Record a file's samples, scored like any others. Safe to repeat."""

    async def work(settings: Settings) -> None:
        services = app.services(settings)
        await migrate_database(services.database)
        await prepare.ensure_champions(services, bar)
        tally = Tally()
        task = bar.add_task(f"Importing {file.name}", total=None)
        async for step in import_file(lambda: Context(services, SYSTEM), kind, content, file.name):
            bar.update(task, completed=step.rows, total=step.total)
            tally.add(step.recorded)
        await services.database.close()
        bar.stop()
        _report(tally)

    configure_logging("console", "warning")
    with open_file(file) as content, prepare.database(Settings()) as settings, prepare.progress_bar() as bar:
        asyncio.run(work(settings))


def _report(tally: Tally) -> None:
    table = Table("rows", "accepted", "duplicates", "rejected", "anomalies touched")
    counts = (tally.rows, tally.accepted, tally.duplicates, tally.rejected_count, len(tally.anomalies))
    table.add_row(*(f"{number:,}" for number in counts))
    console.print(table)
    for reason, rows in tally.reasons.most_common():
        console.print(f"{rows:,} rejected: {reason}", markup=False, highlight=False)
    for entry in tally.rejected[:SHOWN_REJECTIONS]:
        console.print(f"  row {entry.row}: {entry.reason}", markup=False, highlight=False)


@commands.command("export-schema")
def export_schema(
    *,
    path: Annotated[Path, typer.Argument(help="Where to.")] = SCHEMA_FILE,
    check: Annotated[bool, typer.Option("--check", help="Only say whether the file is current.")] = False,
) -> None:
    """Write the schema as SDL."""
    current = schema.as_str() + "\n"
    if not check:
        path.write_text(current)
    elif not path.exists() or path.read_text() != current:
        _fail(f"{path} is not current; run `bcom-graphql export-schema`.")


@commands.command("permissions")
def show_permissions(
    *,
    write: Annotated[Path | None, typer.Option(help="Into this page, between its marks.")] = None,
) -> None:
    """Print who may use which root field, as a Markdown table."""
    _print_or_write("permissions", permissions.matrix(), write)


@commands.command()
def settings(
    *,
    write: Annotated[Path | None, typer.Option(help="As a table into this page, between its marks.")] = None,
) -> None:
    """Print every setting with its description and default: the text of .env.example."""
    if write is None:
        typer.echo(readme.settings_example(), nl=False)
    else:
        _print_or_write("settings", readme.settings_table(), write)


def _print_or_write(part: str, table: str, path: Path | None) -> None:
    if path is None:
        typer.echo(table)
    else:
        path.write_text(readme.written(path.read_text(), part, table))


@commands.command()
def secret() -> None:
    """Print a new SECRET_KEY."""
    typer.echo(secrets.token_urlsafe(48))
