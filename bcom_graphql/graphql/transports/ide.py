"""The page for browsers: GraphiQL, from our own files if they are built, else from a CDN."""

import re
from functools import cache
from pathlib import Path

from bcom_graphql.host_names import parse_host

STATIC = Path(__file__).parents[2] / "static"
SCRIPTS = re.compile(r'src="(https://[^"]+)"')
STYLES = re.compile(r'href="(https://[^"]+)"')


def is_built(static: Path = STATIC) -> bool:
    """Tells whether `make web` has bundled GraphiQL; its script is written last."""
    return (static / "graphiql" / "graphiql.js").is_file()


def page(static: Path = STATIC) -> str:
    return _read("graphiql.html" if is_built(static) else "graphiql-cdn.html")


def policy(host: str, *, built: bool) -> str:
    """Returns the page's Content-Security-Policy: no inline script, no eval, other hosts only if named in the page.

    host: the request's Host, which the page opens sockets to; not every browser counts them as 'self'.
    """
    page = "" if built else _read("graphiql-cdn.html")
    scripts, styles = SCRIPTS.findall(page), STYLES.findall(page)
    sockets = [f"ws://{host}", f"wss://{host}"] if parse_host(host) else []
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
