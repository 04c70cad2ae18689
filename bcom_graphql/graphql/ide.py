"""The page for people who open the endpoint in a browser: GraphiQL, from our own files or else from a CDN."""

from pathlib import Path

STATIC = Path(__file__).parents[1] / "static"
CDN = "https://cdn.jsdelivr.net/npm/"


def is_built(static: Path = STATIC) -> bool:
    """Whether `make web` has bundled GraphiQL; its script is written last."""
    return (static / "graphiql" / "graphiql.js").is_file()


def page(static: Path = STATIC) -> str:
    template = "graphiql.html" if is_built(static) else "graphiql-cdn.html"
    return (STATIC / template).read_text(encoding="utf-8")


def policy(*, built: bool) -> str:
    """The page's Content-Security-Policy: no inline script, no eval, and once built nothing from elsewhere."""
    source = "'self'" if built else f"'self' {CDN}"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {source}",
            f"style-src {source} 'unsafe-inline'",  # GraphiQL's editor writes its own styles
            "font-src 'self' data:",
            "img-src 'self' data:",
            "connect-src 'self' ws: wss:",  # not every browser counts a socket as 'self'
            "worker-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
