"""`bcom-graphql serve`: looks at its options and settings; `server.py` does the rest."""

import ipaddress
import socket
from typing import Annotated

import typer

from bcom_graphql.cli.output import fail
from bcom_graphql.settings import Settings

app = typer.Typer(add_completion=False)


@app.command()
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
    if with_demo and not (in_public or _is_loopback(host)):
        fail(
            f"Everybody knows the password of the demo's admin, so it is not served on {host}."
            " Leave out --host, or add --demo-in-public if whoever reaches this address may do anything with the demo."
        )
    _check_free(host, port)
    settings = _for_serving(Settings(), with_demo=with_demo)
    from bcom_graphql.cli import server  # what is refused until here need not wait for these imports

    server.run(settings, host, port, workers)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_free(host: str, port: int) -> None:
    """Fails before anything is started or promised."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        fail(f"Cannot listen on {host}:{port} ({error.strerror}); choose another with --host and --port.")


def _for_serving(settings: Settings, *, with_demo: bool) -> Settings:
    if settings.secret_key is None and not with_demo:
        fail("SECRET_KEY is not set. Make one with `bcom-graphql secret` and put it into the environment or .env.")
    return settings.model_copy(update={"demo": with_demo} | ({"profile": "development"} if with_demo else {}))
