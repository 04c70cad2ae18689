"""Refuses requests with another server's Host: a page whose name an attacker points here must not read it.

DNS rebinding needs a name of the attacker's own. So addresses, names without a dot and loopback names always pass, as
do requests without a Host (HTTP/1.0) and health checks, which load balancers send with any Host.
"""

from collections.abc import Awaitable, Collection
from functools import lru_cache
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from bcom_graphql.graphql.errors import RequestError
from bcom_graphql.graphql.execution.operation_metrics import CONNECTIONS_REFUSED
from bcom_graphql.graphql.transports.http import make_denial
from bcom_graphql.host_names import is_allowed, parse_host

HEALTH: Final = "/health"
DIFFERENT_HOSTS: Final = 256  # whose result is cached
LONGEST_SHOWN: Final = 100


class AllowedHosts:
    """ASGI middleware for requests and WebSockets."""

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        self._app = app
        self._passes = lru_cache(DIFFERENT_HOSTS)(lambda host: is_allowed(host, allowed))

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] not in ("http", "websocket") or scope["path"].startswith(HEALTH):
            return self._app(scope, receive, send)
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if not hosts or (len(hosts) == 1 and self._passes(hosts[0].decode("latin-1"))):
            return self._app(scope, receive, send)
        CONNECTIONS_REFUSED.labels("host").inc()
        return make_denial(_make_error(hosts[0].decode("latin-1")))(scope, receive, send)


def _make_error(host: str) -> RequestError:
    name = parse_host(host)
    wanted = f"set ALLOWED_HOSTS={name} (with commas between several)" if name else "send a Host that is one"
    return RequestError(
        f"This server does not answer to the name {host[:LONGEST_SHOWN]!r}: if it should, {wanted}.",
        {"code": "FORBIDDEN"},
        421,
    )
