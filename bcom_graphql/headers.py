"""What every answer tells browsers: to guess nothing, to frame nothing, to load nothing that its page does not need."""

from collections.abc import Awaitable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
NOT_A_PAGE = "default-src 'none'; frame-ancestors 'none'"
ONE_YEAR = "max-age=31536000"


class SecurityHeaders:
    """ASGI middleware; a page's own Content-Security-Policy stands."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(ALWAYS)
                headers.setdefault("content-security-policy", NOT_A_PAGE)
                if scope["scheme"] == "https":
                    headers["strict-transport-security"] = ONE_YEAR
            await send(message)

        return self.app(scope, receive, send_with_headers)
