"""`make fuzz`, its second half: what strangers and a VIEWER may make the server spend, request by request.

Each hostile request goes to a real server in the production profile, alone, and what it costs is measured. A stranger
gets 20 ms of the event loop and 2 MB beyond what it sends; a finding is what takes over twice that, three times.
Budgets are off, or they would soon refuse everything. Linux only: the measures are the kernel's.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count, zip_longest
from pathlib import Path
from typing import Any, cast

import httpx

from bcom_graphql import app
from bcom_graphql.services import build_services
from resolvers.base.roles import Role
from tests import conftest
from tests.fuzz.adversary_bodies import bodies
from tests.fuzz.adversary_connections import connections
from tests.fuzz.adversary_documents import documents
from tests.fuzz.adversary_queries import queries
from tests.fuzz.fleet import build_fleet
from tests.fuzz.measured import Cost, Meter
from tests.fuzz.report import Report
from tests.helpers.processes import Served
from tests.helpers.support import Api, serving

STRANGER = Cost(milliseconds=40, megabytes=4)
VIEWER = Cost(milliseconds=1_500, megabytes=200)  # an answer of MAX_RESPONSE, made, encoded and sent
BODY_COPIES = 2.5  # a body may be in memory as it came, decoded, and as what was parsed of it
BODY_MB_MILLISECONDS = 25  # to receive and scan a MB
PATIENCE = 30.0
SILENCE = 1.0
JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Attack:
    """Something hostile to send, and what it may cost."""

    name: str
    allowed: Cost
    send: Callable[[], Awaitable[object]]


class Adversary:
    """Makes attacks on one server."""

    def __init__(self, url: str, viewer: str, report: Report) -> None:
        self._url, self._report = url, report
        self._viewer = {"authorization": f"Bearer {viewer}"}
        self._http = httpx.AsyncClient(timeout=PATIENCE)
        self._port = httpx.URL(url).port or 80

    async def warm_up(self) -> None:
        """What the first request of a kind loads is not that request's cost."""
        for headers in ({}, self._viewer):
            for _ in range(20):
                await self._post("warm-up", {**JSON, **headers}, b'{"query":"{ __typename viewer { id } }"}')

    def attacks(self, chance: random.Random) -> Iterator[Attack]:
        """One of each kind after the other, until the kinds have no more."""
        kinds = (self._documents(chance), self._bodies(chance), self._connections(chance), self._queries(chance))
        return (attack for attack in chain.from_iterable(zip_longest(*kinds)) if attack)

    def _documents(self, chance: random.Random) -> Iterator[Attack]:
        for name, body in documents(chance):
            named, anew = f"document: {name}", partial(next, map(partial(_with_comment, body), count()))
            yield Attack(named, _beyond(len(body)), lambda named=named, anew=anew: self._post(named, JSON, anew()))  # type: ignore[misc]

    def _bodies(self, chance: random.Random) -> Iterator[Attack]:
        for name, headers, body in bodies(chance):
            yield self._request(f"body: {name}", headers, body)

    def _queries(self, chance: random.Random) -> Iterator[Attack]:
        for name, body in queries(chance):
            attack = self._request(f"query: {name}", JSON | self._viewer, body)
            yield replace(attack, allowed=VIEWER)

    def _connections(self, chance: random.Random) -> Iterator[Attack]:
        for name, chunks in connections(chance):
            allowed = _beyond(sum(map(len, chunks)))
            yield Attack(f"connection: {name}", allowed, lambda chunks=chunks: self._converse(chunks))  # type: ignore[misc]

    def _request(self, name: str, headers: dict[str, str], body: bytes) -> Attack:
        return Attack(name, _beyond(len(body)), lambda: self._post(name, headers, body))

    async def _post(self, name: str, headers: dict[str, str], body: bytes) -> None:
        """A server that answers early and closes the connection leaves the rest of the body unsent."""
        self._report.sent[name.partition(":")[0]] += 1
        try:
            response = await self._http.post(f"{self._url}/graphql", headers=headers, content=body)
        except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
            return
        except httpx.TransportError as error:
            self._report.find(name, f"no answer: {error!r}", _excerpt(body), "")
            return
        self._report.statuses[response.status_code] += 1
        if response.status_code == 500 or "INTERNAL_SERVER_ERROR" in response.text[:10_000]:
            self._report.find(name, "the server's own error", _excerpt(body), response.text)

    async def _converse(self, chunks: list[bytes]) -> None:
        """Sends all of it, reading what comes, until nothing does."""
        self._report.sent["connection"] += 1
        with suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                for chunk in chunks:
                    writer.write(chunk)
                    async with asyncio.timeout(PATIENCE):
                        await writer.drain()
                while await asyncio.wait_for(reader.read(65_536), SILENCE):
                    pass
            finally:
                writer.transport.abort()

    async def close(self) -> None:
        await self._http.aclose()


def _beyond(sent: int) -> Cost:
    """What a stranger may cost who sends so many bytes."""
    megabytes = sent / 1e6
    return Cost(STRANGER.milliseconds + megabytes * BODY_MB_MILLISECONDS, STRANGER.megabytes + megabytes * BODY_COPIES)


def _with_comment(body: bytes, number: int) -> bytes:
    """The same document, but unknown to the server's store."""
    asked = json.loads(body)
    return json.dumps(asked | {"query": f"{asked['query']}\n# {number}"}).encode()


def _excerpt(body: bytes) -> str:
    return f"{body[:300]!r}, {len(body)} bytes"


async def attack(served: Served, viewer: str, seconds: float, number: int) -> Report:
    """Returns what was sent, and what cost too much."""
    report = Report()
    adversary, meter = Adversary(served.url, viewer, report), Meter(served.pid)
    await adversary.warm_up()
    report.started = time.monotonic()
    worst: list[tuple[float, str, Cost]] = []
    for attack in adversary.attacks(random.Random(number)):
        if time.monotonic() - report.started > seconds:
            break
        cost = await meter.measure(attack.send, attack.allowed)
        worst.append((cost.milliseconds / attack.allowed.milliseconds, attack.name, cost))
        if cost.exceeds(attack.allowed):
            report.find(attack.name, "cost too much", f"allowed: {attack.allowed}", f"spent: {cost}")
    await adversary.close()
    for _, name, cost in sorted(worst, key=lambda entry: -entry[0])[:10]:
        sys.stdout.write(f"{cost!s:36} {name}\n")
    return report


async def _prepare(url: str) -> str:
    """Builds a fleet in this database. Returns the token of a VIEWER."""
    settings = conftest.settings_of(url)
    services = build_services(settings)
    async with serving(app.application(services, settings)) as address, Api.to(address, services) as api:
        await build_fleet(api, services)
        token = (await api.as_(Role.VIEWER)).token
    assert token
    return token


@contextmanager
def _serve(template: str) -> Iterator[tuple[Served, str]]:
    """A server as it is deployed, with a fleet, and a VIEWER's token."""
    with conftest.cloned(template) as url, tempfile.TemporaryDirectory() as folder:
        given = {"DATABASE_URL": url, "SECRET_KEY": conftest.SECRET, "RATE_LIMITS": "off"}
        viewer = asyncio.run(_prepare(url))
        with Served(Path(folder), **given) as served:
            yield served, viewer
            if "Traceback" in served.log:
                raise AssertionError(served.log[served.log.index("Traceback") - 500 :][:3000])


def main() -> None:
    """Exit code 1 when there are findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = parser.parse_args()
    sys.stdout.write(f"attacking for {given.seconds:g} s; begun with --seed {given.seed}\n")
    conftest.pytest_configure(cast("Any", None))
    with contextmanager(conftest.postgres.__wrapped__)() as template, _serve(template) as (served, viewer):  # type: ignore[attr-defined]
        report = asyncio.run(attack(served, viewer, given.seconds, given.seed))
    sys.stdout.write(report.shown())
    sys.exit(1 if report.findings else 0)


if __name__ == "__main__":
    main()
