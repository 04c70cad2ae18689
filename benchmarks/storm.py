"""A storm: every link of one network degrades or goes dark in one batch, after a day of ordinary samples.

    python -m benchmarks.storm --links 3000 --hours 24              (or: --links 600 --dark)

The server runs in this process, with all of its workers, on a PostgreSQL of its own; its follower runs in another one.
Its clock is set: history takes no longer than to record it. From the storm on the clock goes as the real one.
"""

import asyncio
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
import uvicorn
import websockets
from pydantic import SecretStr
from sqlalchemy import text

from bcom_graphql.app import application
from bcom_graphql.cli.output import progress_bar
from bcom_graphql.cli.startup import make_ready
from bcom_graphql.demo.fleet import list_times, record_times, specification
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.services import build_services
from bcom_graphql.settings import Settings
from benchmarks.world import SECRET, World, free_port
from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import RootCause
from ml.simulation.faults import Fault, Variant
from ml.simulation.fleet import Fleet, LinkSpec, SiteSpec, demo_fleet
from resolvers.base.access import SYSTEM
from resolvers.base.times import to_ms
from resolvers.context import Context, Services
from resolvers.detection import profile_worker
from resolvers.fleet import topology
from resolvers.store.postgres.embedded import embedded_postgres

NETWORK: Final = 102  # of the demo's fleet: that all the other links are added to
STEP: Final = timedelta(minutes=5)
ROWS: Final = 60_000  # recorded at once
LIVE: Final = timedelta(hours=2)  # of the history that is recorded step by step, as live samples come
FOLLOW: Final = """subscription { %s { cursor change %s { id } } }"""


class SetClock:
    """Tells the time that it was set to, and then goes on."""

    def __init__(self, at: datetime) -> None:
        self.set(at)

    def set(self, at: datetime) -> None:
        self._at, self._since = at, time.monotonic()

    def __call__(self) -> datetime:
        return self._at + timedelta(seconds=time.monotonic() - self._since)


def build_fleet(links: int, seed: int) -> Fleet:
    """Returns the demo's fleet, with so many links in one of its networks."""
    fleet, rng = demo_fleet(seed), np.random.default_rng([seed, 102])
    own = sum(link.network == NETWORK for link in fleet.links)
    places = rng.normal((47.3, 13.5), 0.7, (links - own, 2)).round(4).tolist()
    sites = [
        SiteSpec(20_001 + order, f"Shop {order}", "REMOTE", north, east, 1.2, mobile=False)
        for order, (north, east) in enumerate(places)
    ]
    added = [LinkSpec(30_001 + order, site.name, NETWORK, site.number) for order, site in enumerate(sites)]
    return replace(fleet, sites=(*fleet.sites, *sites), links=(*fleet.links, *added))


async def record_history(
    services: Services, clock: SetClock, fleet: Fleet, seed: int, end: datetime, hours: float
) -> None:
    """Records ordinary samples up to a time, and learns what is ordinary."""
    times = list_times(to_ms(end - timedelta(hours=hours)), to_ms(end), STEP)
    live_from = to_ms(end - LIVE)
    at_once = max(1, ROWS // (2 * len(fleet.links)))
    past, live = times[times < live_from], times[times >= live_from]
    parts = [*np.array_split(past, max(1, -(-len(past) // at_once))), *live.reshape(-1, 1)]
    with progress_bar() as bar:
        task = bar.add_task("recording history", total=len(parts))
        for part in parts:
            if len(part):
                clock.set(datetime.fromtimestamp(int(part[-1]) / 1000, UTC) + timedelta(seconds=1))
                await record_times(services, fleet, part, (), seed)
            bar.advance(task)
    await profile_worker.learn_due(services)


@asynccontextmanager
async def serve(services: Services, settings: Settings, port: int) -> AsyncIterator[None]:
    """Serves the application in this process, with all of its workers."""
    transports = "bcom_graphql.graphql.transports"
    config = uvicorn.Config(
        application(services, settings),
        port=port,
        http=f"{transports}.http_protocol:HttpProtocol",
        ws=f"{transports}.websocket_protocol:WebSocketProtocol",
        log_level="error",
        access_log=False,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.05)
    try:
        yield
    finally:
        server.should_exit = True
        await task


@dataclass
class Lag:
    """How late the event loop is. longest: seconds."""

    longest: float = 0.0
    over_a_tenth: int = 0
    _task: "asyncio.Task[None] | None" = field(default=None, repr=False)

    def start(self) -> None:
        self._task = asyncio.create_task(self._measure())

    async def _measure(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.01)
            late = time.perf_counter() - began - 0.01
            self.longest, self.over_a_tenth = max(self.longest, late), self.over_a_tenth + (late > 0.1)


async def follow(port: int, token: str) -> None:
    """Follows anomalies and incidents; counts the former, and prints a line for every other message."""
    counts = Counter[str]()
    protocol: Any = websockets.Subprotocol("graphql-transport-ws")
    async with websockets.connect(f"ws://127.0.0.1:{port}/graphql", subprotocols=[protocol], max_size=None) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}))
        await socket.recv()
        for id, name in (("anomaly", "anomalyDetected"), ("incident", "incidentChanged")):
            document = FOLLOW % (name, id)
            await socket.send(json.dumps({"id": id, "type": "subscribe", "payload": {"query": document}}))
        print("following", flush=True)
        async for message in socket:
            said = json.loads(message)
            if said.get("id") == "anomaly" and said["type"] == "next":
                counts["anomaly"] += 1
            else:
                print(json.dumps({"at": time.time(), "anomalies": counts["anomaly"], "said": said}), flush=True)


async def count(services: Services) -> dict[str, Any]:
    async with services.database.read() as session:
        row = (await session.execute(text(COUNTS))).one()
    return dict(row._mapping)  # noqa: SLF001


COUNTS: Final = """
SELECT (SELECT count(*) FROM anomalies WHERE NOT is_historical) AS anomalies,
  (SELECT count(*) FROM anomalies WHERE incident_id IS NULL) AS without_incident,
  (SELECT count(*) FROM incidents WHERE NOT is_historical AND merged_into_id IS NULL) AS incidents,
  (SELECT count(*) FROM incidents WHERE root_cause IS NOT NULL AND NOT is_historical) AS explained,
  (SELECT count(*) FROM recommendations) AS recommendations,
  (SELECT string_agg(title || ' [' || severity || ']', '; ' ORDER BY affected_link_count DESC) FROM (
    SELECT * FROM incidents WHERE NOT is_historical AND merged_into_id IS NULL
    ORDER BY affected_link_count DESC LIMIT 4) AS worst) AS titles"""


async def watch(services: Services, seconds: float, began: float, seen: dict[str, Any]) -> None:
    """Prints what changes, with the seconds since the storm."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        now = await count(services)
        if now != seen:
            print(f"{time.perf_counter() - began:7.1f} s  {now}", flush=True)
            seen.clear()
            seen.update(now)
        await asyncio.sleep(0.5)


async def run(links: int, hours: float, seed: int, steps: int, seconds: float, *, dark: bool) -> None:
    end = datetime.fromtimestamp(time.time() // 300 * 300, UTC)
    clock, fleet = SetClock(end), build_fleet(links, seed)
    with tempfile.TemporaryDirectory() as folder, embedded_postgres(Path(folder)) as url:
        given: dict[str, Any] = {"_env_file": None, "rate_limits": False, "database_url": SecretStr(url)}
        settings = Settings(**given, secret_key=SecretStr(SECRET))
        with progress_bar() as bar:
            await make_ready(settings, bar)
        services = build_services(settings, clock)
        await topology.upsert(Context(services, SYSTEM), specification(fleet))
        began = time.perf_counter()
        await record_history(services, clock, fleet, seed, end, hours)
        print(
            f"history of {len(fleet.links)} links: {time.perf_counter() - began:.0f} s, {await count(services)}",
            flush=True,
        )
        token, port = await World(services, settings, url, []).token(), free_port()
        variant = Variant.OFF if dark else Variant.TRANSMITTER
        fault = Fault(
            RootCause.EQUIPMENT_FAILURE,
            to_ms(end) - 1,
            to_ms(end) + 36_000_000,
            0.9,
            network=NETWORK,
            direction=Direction.OB,
            variant=variant,
        )
        clock.set(end - timedelta(seconds=2))
        async with serve(services, settings, port):
            command = [sys.executable, "-m", "benchmarks.storm", "--follow", str(port), "--token", token]
            follower = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, limit=2**24)
            assert follower.stdout is not None
            print((await follower.stdout.readline()).decode().strip())
            await asyncio.sleep(2.0)
            lag, before, seen = Lag(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, dict[str, Any]()
            lag.start()
            began, wall = time.perf_counter(), time.time()
            for step in range(steps):
                at = end + step * STEP
                clock.set(at + timedelta(seconds=1))
                recording = time.perf_counter()
                await record_times(services, fleet, np.array([to_ms(at)]), [fault], seed)
                print(f"step {step}: recorded in {time.perf_counter() - recording:.2f} s", flush=True)
                await watch(services, seconds, began, seen)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(f"event loop: {lag.longest:.2f} s late at most, {lag.over_a_tenth} times over 0.1 s")
            print(f"memory: {before / 1024:.0f} MB before, {peak / 1024:.0f} MB at most")
            follower.terminate()
            for line in (await follower.stdout.read()).decode().splitlines():
                heard = json.loads(line)
                print(
                    f"  heard after {heard['at'] - wall:6.1f} s and {heard['anomalies']} anomalies: {heard['said']}"[
                        :240
                    ]
                )


def main(
    *,
    links: Annotated[int, typer.Option(help="Of the network that the storm hits.")] = 3000,
    hours: Annotated[float, typer.Option(help="Of history.")] = 24.0,
    seed: Annotated[int, typer.Option(help="Of the fleet and its noise.")] = 1,
    steps: Annotated[int, typer.Option(help="Samples of each link from the storm on, 5 minutes apart.")] = 3,
    seconds: Annotated[float, typer.Option(help="Real ones that each step is watched for.")] = 60.0,
    dark: Annotated[bool, typer.Option("--dark", help="Nothing is received any more, instead of 9 dB less.")] = False,
    follow_port: Annotated[int | None, typer.Option("--follow", hidden=True)] = None,
    token: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Let a network fail, and tell what the server made of it."""
    configure_logging("console", "warning")
    if follow_port is not None:
        asyncio.run(follow(follow_port, token))
    else:
        asyncio.run(run(links, hours, seed, steps, seconds, dark=dark))


if __name__ == "__main__":
    typer.run(main)
