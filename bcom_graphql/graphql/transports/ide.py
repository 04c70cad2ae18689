"""The page for people who open the endpoint in a browser: GraphiQL, from our own files or else from a CDN."""

import re
from functools import cache
from pathlib import Path

from bcom_graphql.host_names import name_of

STATIC = Path(__file__).parents[2] / "static"
SCRIPTS = re.compile(r'src="(https://[^"]+)"')
STYLES = re.compile(r'href="(https://[^"]+)"')


def is_built(static: Path = STATIC) -> bool:
    """Whether `make web` has bundled GraphiQL; its script is written last."""
    return (static / "graphiql" / "graphiql.js").is_file()


def page(static: Path = STATIC) -> str:
    return _read("graphiql.html" if is_built(static) else "graphiql-cdn.html")


def policy(host: str, *, built: bool) -> str:
    """The page's Content-Security-Policy: no inline script, no eval, and from elsewhere only what it names.

    host: the request's Host, which the page opens sockets to; not every browser counts these as 'self'.
    """
    page = "" if built else _read("graphiql-cdn.html")
    scripts, styles = SCRIPTS.findall(page), STYLES.findall(page)
    sockets = [f"ws://{host}", f"wss://{host}"] if name_of(host) else []
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(("script-src 'self'", *scripts)),
            " ".join(("style-src 'self'", *styles, "'unsafe-inline'")),  # GraphiQL's editor writes its own styles
            "font-src 'self' data:",
            "img-src 'self' data:",
            " ".join(("connect-src 'self'", *sockets)),
            "worker-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


@cache
def _read(template: str) -> str:
    return (STATIC / template).read_text(encoding="utf-8")
