"""A server, its people, and what they send it over each transport."""

import asyncio
import json
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import graphql
import httpx
import websockets

from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.store.tables.core import User
from tests.fuzz.operations import with_variables
from tests.fuzz.report import CLOSED_PROPERLY, LEAKS, OURS, Report
from tests.fuzz.values import KNOWN, as_json
from tests.helpers.support import Api

PATIENCE = 60.0
QUIET = 0.2
NOT_EVEN_HTTP = "Invalid HTTP request received."  # what uvicorn says to headers that are none
TRANSPORT = "graphql-transport-ws"


@dataclass
class World:
    """A server with a small fleet, somebody of each role, and the report."""

    api: Api
    services: Services
    report: Report
    until: float
    schema: graphql.GraphQLSchema
    people: dict[Role, int]
    callers: list[Api] = field(default_factory=list)

    @property
    def is_time_left(self) -> bool:
        return time.monotonic() < self.until

    async def sign_in(self) -> None:
        """Again and again: what is generated takes people's roles, passwords and sessions from them."""
        signed_in = {}
        for role, id in self.people.items():
            async with self.services.database.write() as session:
                user = await session.get_one(User, id, with_for_update=True)
                user.role, user.is_active = role, True
            signed_in[role] = await self.api.of(user)
        admin = signed_in[Role.ADMIN]
        self.callers = [admin] * 8 + [*signed_in.values(), self.api, self.api.with_token("x.y.z")]

    def examine(self, where: str, sent: object, text: str) -> None:
        """An answer's text: JSON, with codes and messages, and without anything that is only ours to know."""
        for leak in LEAKS:
            if leak in text:
                self.report.find(where, f"the answer contains {leak!r}", sent, text)
        try:
            body = json.loads(text)
        except ValueError:
            self.report.find(where, "the answer is no JSON", sent, text)
            return
        for answer in body if isinstance(body, list) else [body]:
            self._examine_answer(where, sent, answer)

    def _examine_answer(self, where: str, sent: object, answer: Any) -> None:
        if not isinstance(answer, dict) or not answer.keys() & {"data", "errors"}:
            self.report.find(where, "the answer has neither data nor errors", sent, answer)
            return
        KNOWN.learn(answer.get("data"))
        self.examine_errors(where, sent, answer.get("errors", []))

    def examine_errors(self, where: str, sent: object, errors: list[Any]) -> None:
        for error in errors:
            extensions = error.get("extensions", {})
            code = extensions.get("code")
            self.report.codes[str(code)] += 1
            if not isinstance(code, str) or not error.get("message"):
                self.report.find(where, "an error without code or message", sent, error)
            if code in OURS:
                log = self.report.logs.get(extensions.get("requestId"), "")
                self.report.find(where, f"{code} {log.rpartition(chr(10))[2][:100]}", sent, f"{error}\n{log}")

    async def request(
        self, where: str, method: str, url: str, *, sent: object = None, is_first: bool = True, **given: Any
    ) -> None:
        """Send it, and examine what comes back. Only what httpx itself refuses to send does not count."""
        sent = sent or {"method": method, "url": url, **given}
        try:
            response = await self.api.http.request(method, url, timeout=PATIENCE, **given)
        except (httpx.LocalProtocolError, httpx.InvalidURL, UnicodeError):
            return
        except httpx.TransportError as error:
            if is_first:  # the server may have closed a connection that httpx kept for later
                await self.request(where, method, url, sent=sent, is_first=False, **given)
            else:
                self.report.find(where, f"no answer: {error!r}", sent, "")
            return
        self.examine_response(where, sent, response)

    def examine_response(self, where: str, sent: object, response: httpx.Response) -> None:
        self.report.sent[where] += 1
        self.report.statuses[response.status_code] += 1
        if response.status_code >= 500:
            self.report.find(where, f"status {response.status_code}", sent, response.text)
        media = response.headers.get("content-type", "").partition(";")[0]
        is_ours = response.url.path == "/graphql" and media not in ("text/html", "text/event-stream")
        if is_ours and response.request.method != "HEAD" and response.text != NOT_EVEN_HTTP:
            self.examine(where, sent, response.text)


async def send_operation(world: World, name: str, document: str, chance: random.Random) -> None:
    """Over one of the transports, as one of the people."""
    KNOWN.remember(document)
    body: dict[str, Any] = {"query": document}
    if chance.random() < 0.4:
        body["query"], body["variables"] = with_variables(document, world.schema)
    caller = chance.choice(world.callers)
    way = chance.choice(["json"] * 6 + ["response", "batch", "get", "stream", "socket"])
    if name.startswith("Subscription."):
        way = chance.choice(["stream", "socket"])
    if way == "stream":
        await _stream(world, name, body, caller)
    elif way == "socket":
        message = {"type": "subscribe", "id": "1", "payload": body}
        await talk_over(world, name, Talk(TRANSPORT, caller.headers, [as_json(message)]))
    elif way == "get":
        asked = {key: value if key == "query" else as_json(value) for key, value in body.items()}
        await world.request(name, "GET", world.api.url, params=asked, headers=caller.headers, sent=body)
    else:
        media = "application/graphql-response+json" if way == "response" else "application/json"
        headers = {**caller.headers, "content-type": "application/json", "accept": media}
        content = as_json([body] * 3 if way == "batch" else body)
        await world.request(name, "POST", world.api.url, content=content, headers=headers, sent=body)


async def _stream(world: World, where: str, body: object, caller: Api) -> None:
    """Events of a short moment."""
    headers = {**caller.headers, "content-type": "application/json", "accept": "text/event-stream"}
    async with world.api.http.stream("POST", world.api.url, content=as_json(body), headers=headers) as response:
        if "event-stream" not in response.headers["content-type"]:
            await response.aread()
            world.examine_response(where, body, response)
            return
        world.report.sent[where] += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET):
                async for line in response.aiter_lines():
                    if line.startswith("data:") and line != "data:":
                        world.examine(where, body, line.removeprefix("data:"))


@dataclass
class Talk:
    """A WebSocket's subprotocol, the payload of its connection_init (None: none is sent), and frames."""

    protocol: str | None
    greeting: Any
    frames: list[str | bytes]


async def talk_over(world: World, where: str, talk: Talk) -> None:
    """Send all frames; examine what comes back until nothing does, and how it closes."""
    protocols = [websockets.Subprotocol(talk.protocol)] if talk.protocol else None
    url = world.api.url.replace("http://", "ws://")
    try:
        async with websockets.connect(url, subprotocols=protocols, max_size=None, open_timeout=PATIENCE) as connection:
            await _exchange(world, where, talk, connection)
    except AttributeError as error:
        if error.name != "call_soon":  # CPython's: a transport is aborted that wrote its last after it was closed
            raise
    except websockets.InvalidStatus as refused:
        if refused.response.status_code >= 500:
            world.report.find(where, f"status {refused.response.status_code}", talk.__dict__, refused)
        return
    code = connection.close_code or 0
    world.report.sent[where] += 1
    world.report.closed[code] += 1
    if code not in CLOSED_PROPERLY:
        world.report.find(where, f"closed with {code}", talk.__dict__, connection.close_reason)


async def _exchange(world: World, where: str, talk: Talk, connection: websockets.ClientConnection) -> None:
    with suppress(websockets.ConnectionClosed, TimeoutError):
        if talk.greeting is not None:
            await connection.send(as_json({"type": "connection_init", "payload": talk.greeting}))
        for frame in talk.frames:
            await connection.send(frame, text=not isinstance(frame, bytes) or frame[:1] != b"\0")
        while True:
            _examine_message(world, where, talk, await asyncio.wait_for(connection.recv(), QUIET))


def _examine_message(world: World, where: str, talk: Talk, text: str | bytes) -> None:
    message = json.loads(text)
    payload = message.get("payload")
    if message["type"] == "next":
        world.examine(where, talk.__dict__, json.dumps(payload))
    elif message["type"] == "error":
        world.examine(where, talk.__dict__, json.dumps({"errors": payload}))
