"""uvicorn's HTTP protocol, which ignores an `Upgrade` to anything but a WebSocket (RFC 9110, 7.8).

Java's HttpClient and `curl --http2` offer HTTP/2 with every request. The parser stops after such a head and
takes the body for another protocol's. So such a head starts no application. It is parsed again without its `Upgrade`,
followed by the bytes after it.
"""

from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

INVALID: Final = "Invalid HTTP request received."


class UpgradeAwareProtocol(HttpToolsProtocol):
    """Answers HTTP and hands over WebSockets."""

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserError:
                self.logger.warning(INVALID)
                self.send_400_response(INVALID)
            except httptools.HttpParserUpgrade as upgrade:
                if not self._should_upgrade():
                    data = self._head_without_upgrade() + data[upgrade.args[0] :]
                    self._reset_parser()
                    continue
                self.handle_websocket_upgrade()
            return

    def _reset_parser(self) -> None:
        """Makes a parser like uvicorn's; the old one ignores all bytes after `Connection: close, Upgrade`."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _head_without_upgrade(self) -> bytes:
        first = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        others = [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([first, *others, b"\r\n"])

    def _get_upgrade(self) -> bytes | None:
        """Joins all `Upgrade` lines; uvicorn reads the last. Only GET asks for a WebSocket (RFC 6455, 4.1)."""
        if self.parser.get_method() != b"GET":
            return None
        return b", ".join(value.lower() for name, value in self.headers if name == b"upgrade")

    def _ignores_upgrade(self) -> bool:
        return self.parser.should_upgrade() and not self._should_upgrade()

    def on_headers_complete(self) -> None:
        if self.parser.get_method() == b"CONNECT":
            raise ValueError("this is no proxy")  # and the parser would stop after this head each time
        if not self._ignores_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._ignores_upgrade():
            super().on_message_complete()
