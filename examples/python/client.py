"""Who signs in where: keeps the access token fresh, executes operations, tells failures apart."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportError, TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport

FRESH = timedelta(seconds=60)  # an access token that ends sooner is not used any more
PATIENCE_SECONDS = 60  # for an answer: analyses may take a while
SESSION = """__typename
  ... on Session { accessToken refreshToken expiresAt }
  ... on InvalidCredentials { message }
  ... on InvalidInput { message }"""
LOGIN = f"mutation Login($input: LoginInput!) {{ session: login(input: $input) {{ {SESSION} }} }}"
REFRESH = f"mutation Refresh($token: String!) {{ session: refreshSession(refreshToken: $token) {{ {SESSION} }} }}"


class Refused(Exception):
    """The server answered, and said no."""

    def __init__(self, message: str, code: str, extensions: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.extensions = extensions or {}

    @classmethod
    def of(cls, error: TransportQueryError) -> "Refused":
        first = (error.errors or [{}])[0]
        extensions = first.get("extensions") or {}
        return cls(first.get("message", str(error)), extensions.get("code", "UNKNOWN"), extensions)


class Away(Exception):
    """There was no answer, or the connection ended: another attempt may help."""


@dataclass
class Session:
    """An account at a server. By default the one of `make run`."""

    url: str = os.environ.get("BCOM_URL", "http://localhost:8010/graphql")
    email: str = os.environ.get("BCOM_EMAIL", "noc@example.com")
    password: str = field(default=os.environ.get("BCOM_PASSWORD", "demo-password"), repr=False)
    _tokens: dict[str, str] | None = field(default=None, repr=False)
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def execute(self, document: str, **variables: Any) -> dict[str, Any]:
        """The data that an operation answers with."""
        return await self._execute(document, variables, await self.headers())

    async def headers(self) -> dict[str, str]:
        """For HTTP, or for a WebSocket's `connection_init`."""
        async with self._renewing:  # a refresh token works once: two tasks must not use the same one
            if self._tokens is None or _ends(self._tokens) < datetime.now(UTC) + FRESH:
                self._tokens = await self._renewed(self._tokens)
        return {"Authorization": f"Bearer {self._tokens['accessToken']}"}

    def distrust(self) -> None:
        """The server does not take the access token any more: the next one is a new one."""
        if self._tokens:
            self._tokens["expiresAt"] = datetime.now(UTC).isoformat()

    async def _renewed(self, tokens: dict[str, str] | None) -> dict[str, str]:
        """Refreshed if the server lets us, else signed in again."""
        if tokens:
            answer = await self._execute(REFRESH, {"token": tokens["refreshToken"]})
            if answer["session"]["__typename"] == "Session":
                return dict(answer["session"])
        answer = await self._execute(LOGIN, {"input": {"email": self.email, "password": self.password}})
        return dict(expect("Session", answer["session"]))

    async def _execute(
        self, document: str, variables: dict[str, Any], headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        transport = HTTPXAsyncTransport(self.url, headers=headers, timeout=PATIENCE_SECONDS)
        try:
            async with Client(transport=transport, execute_timeout=PATIENCE_SECONDS) as client:
                data: dict[str, Any] = await client.execute(GraphQLRequest(document, variable_values=variables))
                return data
        except TransportQueryError as error:
            raise Refused.of(error) from error
        except (TransportError, TimeoutError) as error:
            raise Away(f"{self.url} does not answer: {str(error) or 'it takes too long'}") from error


def _ends(tokens: dict[str, str]) -> datetime:
    return datetime.fromisoformat(tokens["expiresAt"])


def expect(typename: str, result: dict[str, Any]) -> dict[str, Any]:
    """A result that may be one of our problems instead: `InvalidInput`, `Forbidden`, …"""
    if result["__typename"] != typename:
        raise Refused(result["message"], result["__typename"])
    return result


def run(command: Coroutine[Any, Any, None]) -> None:
    """A command: what went wrong is a line on standard error, not a traceback."""
    try:
        asyncio.run(command)
    except (Refused, Away) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `| head` has seen enough
        os._exit(1)
