"""The demo in no time: faults, incidents and their scorecard, on a clock that this moves.

    python -m benchmarks.incidents --faults 40            (or: --seed 7 --cadence 10)
    python -m benchmarks.incidents --healthy --hours 48 --cadence 300

The server's own code on its own PostgreSQL, without a server: samples are recorded, each worker has its round, and the
clock goes on. Between two samples the workers look every few seconds while something is under way.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from pydantic import SecretStr
from sqlalchemy import select

from bcom_graphql.cli.output import progress_bar
from bcom_graphql.cli.startup import make_ready
from bcom_graphql.demo.feed import Feed, load_feed
from bcom_graphql.demo.fleet import fill
from bcom_graphql.observability.logging import configure_logging
from bcom_graphql.services import build_services
from bcom_graphql.settings import Settings
from resolvers.base.access import SYSTEM
from resolvers.context import Context, Services
from resolvers.demo.evidence import Judgement, load_scorecard
from resolvers.demo.report import describe, to_json
from resolvers.demo.sightings import note_sightings
from resolvers.detection import profile_worker
from resolvers.detection.silence import SilenceWatch
from resolvers.incidents.correlator import correlate
from resolvers.recommendations import worker as recommendation_worker
from resolvers.store.postgres.embedded import embedded_postgres
from resolvers.store.tables.core import Anomaly
from resolvers.store.tables.demo import DemoRun

BEGINS: Final = datetime(2026, 3, 2, tzinfo=UTC)  # the fleet's time: the same each time, as the noise goes by it
LOOK_SECONDS: Final = 10  # of the fleet's time, between two rounds of the workers
BUSY_SECONDS: Final = 120  # of the fleet's time after an anomaly has changed
LEARN_HOURS: Final = 6

Round = Callable[[], Awaitable[object]]


def build_rounds(services: Services) -> dict[str, Round]:
    """Returns the workers' rounds, in the order in which they would get to what happened."""
    return {
        "looking for silence": SilenceWatch(services).look,
        "incidents": lambda: correlate(services),
        "recommendations": lambda: recommendation_worker.recommend_due(services),
        "the scorecard's notes": lambda: note_sightings(services),
    }


@dataclass
class VirtualClock:
    """Tells the time that it was set to."""

    now: datetime = BEGINS

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Plan:
    """What is run. hours: of the fleet's time. fault_minutes: of it, from one fault to the next; 0 for none."""

    seed: int
    cadence: int
    hours: float
    fault_minutes: float
    noticing: bool = False  # anomalies only: no worker has a round
    minutes: float = 600.0  # of the real time, after which it ends early
    took: dict[str, float] = field(default_factory=dict)  # seconds, by what was done


@asynccontextmanager
async def start_services(clock: VirtualClock) -> AsyncIterator[Services]:
    """Yields services on a PostgreSQL of their own, with shipped models."""
    with tempfile.TemporaryDirectory() as folder, embedded_postgres(Path(folder)) as url:
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it
            database_url=SecretStr(url),
            secret_key=SecretStr("only for benchmarks, and as long as it must be"),
            rate_limits=False,
            retention_days=36_500,
        )
        with progress_bar() as bar:
            await make_ready(settings, bar)
        services = build_services(settings, clock)
        async with services.database.driver() as connection:
            await connection.execute("ALTER SYSTEM SET fsync = off")
            await connection.execute("SELECT pg_reload_conf()")
        try:
            yield services
        finally:
            await services.database.close()


async def run(services: Services, clock: VirtualClock, plan: Plan) -> None:
    """Runs the demo from BEGINS on, step by step."""
    with progress_bar() as bar:
        task = bar.add_task("recording history", total=1.0)
        await fill(services, lambda done, _: bar.update(task, completed=done), plan.seed, BEGINS, broken=False)
        await timed(plan, "learning", profile_worker.learn_due(services))
        demo_run = DemoRun(
            started_at=BEGINS,
            fleet_started_at=BEGINS,
            speed=1.0,
            seed=plan.seed,
            fault_seconds=60.0 * plan.fault_minutes,
            step_seconds=plan.cadence,
        )
        async with services.database.write() as session:
            session.add(demo_run)
        feed = await load_feed(services, demo_run)
        rounds = {} if plan.noticing else build_rounds(services)
        steps = round(plan.hours * 3600 / plan.cadence)
        bar.update(task, description="running", total=steps, completed=0)
        began = time.monotonic()
        for number in range(steps):
            if time.monotonic() - began > 60.0 * plan.minutes:
                break
            await step(services, clock, feed, plan, rounds, BEGINS + number * timedelta(seconds=plan.cadence))
            bar.update(task, completed=number + 1, description=f"running, {len(feed.faults)} recent faults")


async def step(
    services: Services, clock: VirtualClock, feed: Feed, plan: Plan, rounds: Mapping[str, Round], at: datetime
) -> None:
    """Records one time's samples, and lets the workers look until the next."""
    clock.now = at
    await timed(plan, "recording", feed.record_due())
    if at.timestamp() % (LEARN_HOURS * 3600) < plan.cadence:
        await timed(plan, "learning", profile_worker.learn_due(services))
    for passed in range(0, plan.cadence if rounds else 0, LOOK_SECONDS):
        if passed and not (passed <= BUSY_SECONDS and await has_changed(services, at)):
            break
        clock.now = at + timedelta(seconds=min(passed + 1, plan.cadence - 1))
        for what, look in rounds.items():
            await timed(plan, what, look())


async def has_changed(services: Services, at: datetime) -> bool:
    """Returns whether an anomaly opened lately."""
    query = select(Anomaly.id).where(Anomaly.detected_at >= at - timedelta(seconds=BUSY_SECONDS)).limit(1)
    async with services.database.read() as session:
        return await session.scalar(query) is not None


async def timed(plan: Plan, what: str, work: Awaitable[object]) -> None:
    began = time.perf_counter()
    await work
    plan.took[what] = plan.took.get(what, 0.0) + time.perf_counter() - began


async def measure(plan: Plan, *, as_json: bool) -> None:
    """Runs the plan and prints its scorecard."""
    clock = VirtualClock()
    async with start_services(clock) as services:
        await run(services, clock, plan)
        card = await load_scorecard(Context(services, SYSTEM))
    assert card is not None
    if as_json:
        print(orjson.dumps(to_json(Judgement(card, plan.seed, 1.0, clock.now)), option=orjson.OPT_INDENT_2).decode())
        return
    print("\n".join(describe(card)))
    for what, seconds in sorted(plan.took.items(), key=lambda one: -one[1]):
        print(f"    {seconds:7.1f} s  {what}")


def main(
    *,
    seed: Annotated[int, typer.Option(help="Of the fleet, the noise and the faults.")] = 1,
    cadence: Annotated[int, typer.Option(help="Seconds from one sample of a stream to the next.")] = 60,
    faults: Annotated[int, typer.Option(help="About so many.")] = 40,
    fault_minutes: Annotated[float, typer.Option(help="From one fault to the next, on average.")] = 45.0,
    hours: Annotated[float | None, typer.Option(help="Of the fleet's time; by default as the faults take.")] = None,
    healthy: Annotated[
        bool, typer.Option("--healthy", help="Without faults: only false incidents are counted.")
    ] = False,
    noticing: Annotated[bool, typer.Option("--noticing", help="Anomalies only: no worker has a round.")] = False,
    minutes: Annotated[float, typer.Option(help="Real ones after which it ends early, with what there is.")] = 600.0,
    as_json: Annotated[bool, typer.Option("--json", help="The scorecard as JSON.")] = False,
) -> None:
    """Run the demo on a clock of its own, and print its scorecard."""
    lasts = hours if hours is not None else 24.0 if healthy else (faults + 2) * fault_minutes / 60.0 + 2.0
    configure_logging("console", "warning")
    plan = Plan(seed, cadence, lasts, 0.0 if healthy else fault_minutes, noticing, minutes)
    asyncio.run(measure(plan, as_json=as_json))


if __name__ == "__main__":
    typer.run(main)
