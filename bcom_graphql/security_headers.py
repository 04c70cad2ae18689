"""Adds security headers to every response: no content sniffing, no framing, no loading beyond what a page needs."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Raw = list[tuple[bytes, bytes]]

ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
ALWAYS_RAW: Raw = [(name.encode(), value.encode()) for name, value in ALWAYS.items()]
POLICY = b"content-security-policy"
NOT_A_PAGE: Raw = [(POLICY, b"default-src 'none'; frame-ancestors 'none'")]
ONE_YEAR: Raw = [(b"strict-transport-security", b"max-age=31536000")]


class SecurityHeaders:
    """ASGI middleware. A response's own Content-Security-Policy is kept."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        added = ALWAYS_RAW + ONE_YEAR if scope["scheme"] == "https" else ALWAYS_RAW

        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                own: Raw = message["headers"]
                policy = [] if any(name == POLICY for name, _ in own) else NOT_A_PAGE
                message["headers"] = own + added + policy
            return send(message)

        return self.app(scope, receive, send_with_headers)
