"""What a server process starts before it serves, and stops afterwards: workers, event feed, trainings, database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from bcom_graphql.demo import feed as demo_feed
from bcom_graphql.graphql.transports.http import GraphQLServer
from bcom_graphql.graphql.transports.open_connections import OpenConnections
from bcom_graphql.observability.prometheus import Metrics
from bcom_graphql.settings import Settings
from bcom_graphql.stop_signals import calling_on_stop, drain_before_stopping
from resolvers.accounts.sessions import ACCESS_TOPIC
from resolvers.base.errors import Lagged, Unavailable
from resolvers.base.worker import Worker
from resolvers.context import Services
from resolvers.demo import sightings
from resolvers.demo.clock import FleetClock
from resolvers.detection import profile_worker, silence
from resolvers.incidents import correlator
from resolvers.operations import maintenance
from resolvers.recommendations import worker as recommendation_worker


@dataclass(frozen=True)
class Parts:
    """What is started and stopped together."""

    services: Services
    settings: Settings
    server: GraphQLServer
    metrics: Metrics
    connections: OpenConnections
    end_tracing: Callable[[], None] | None = None


@asynccontextmanager
async def run(parts: Parts) -> AsyncIterator[None]:
    """Runs everything beside the requests. Each part is stopped, even if stopping another one fails."""
    services = parts.services
    async with AsyncExitStack() as stops:  # what is pushed last is stopped first
        if parts.end_tracing is not None:
            stops.push_async_callback(asyncio.to_thread, parts.end_tracing)
        stops.push_async_callback(services.database.close)
        stops.push_async_callback(services.rates.close)
        stops.push_async_callback(services.feed.stop)
        await start_reading(services)
        stops.push_async_callback(services.trainers.stop)
        stops.callback(parts.metrics.stop)
        workers = build_workers(parts)
        stops.push_async_callback(stop_all, workers)
        for worker in workers:
            worker.start()
        drain_before_stopping(partial(parts.server.drain, parts.settings.shutdown_seconds))
        yield


async def start_reading(services: Services, patience_seconds: float = 60.0) -> None:
    """Starts the event feed and reads the demo's clock, when the database is back if need be.

    It may go away between the two as well: a process that fails to start ends all others with it. Returns without them
    when the process is told to stop meanwhile: uvicorn heeds that once the start is over. Raises Unavailable if the
    database stays away for so long.
    """
    starting = asyncio.create_task(_start_reading(services, patience_seconds), name="starting to read")
    with calling_on_stop(starting.cancel):
        await asyncio.wait([starting])
    if not starting.cancelled():
        starting.result()


async def _start_reading(services: Services, patience_seconds: float) -> None:
    until = asyncio.get_running_loop().time() + patience_seconds
    await _do_when_possible(services.feed.start, until)
    if isinstance(services.clock, FleetClock):
        await _do_when_possible(partial(services.clock.read, services.database), until)


async def _do_when_possible(work: Callable[[], Awaitable[None]], until: float) -> None:
    while True:
        try:
            return await work()
        except Unavailable:
            if asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(0.5)


def build_workers(parts: Parts) -> list[Worker]:
    """Returns the background work of this process."""
    services, settings = parts.services, parts.settings
    optional = [
        parts.metrics.build_worker(),
        correlator.build_worker(
            services, analyses=settings.automatic_analyses, reopen_minutes=settings.incident_reopen_minutes
        )
        if settings.automatic_incidents
        else None,
        recommendation_worker.build_worker(services) if settings.automatic_recommendations else None,
        demo_feed.build_worker(services) if settings.demo else None,
        sightings.build_worker(services) if settings.demo else None,
    ]
    return [
        services.live.worker,
        build_access_worker(services, parts.server),
        maintenance.build_worker(services, settings.maintenance_seconds),
        profile_worker.build_worker(services, settings.learning_seconds),
        silence.build_worker(services, settings.silence_seconds),
        Worker("closing late connections", parts.connections.watch, every_seconds=1.0, begins_at_once=True),
        *(worker for worker in optional if worker is not None),
    ]


async def stop_all(workers: Sequence[Worker]) -> None:
    await asyncio.gather(*(worker.stop() for worker in workers))


def build_access_worker(services: Services, server: GraphQLServer) -> Worker:
    """Returns the worker that checks the sockets of whoever signed out, was deactivated or got another role."""
    after: str | None = None

    async def watch() -> None:
        nonlocal after
        after = after or services.feed.cursor
        try:
            async for event in services.feed.follow(ACCESS_TOPIC, after):
                worker.recovered()
                after = event.cursor
                await server.connections.check_again(event.subject)
        except Lagged as lagged:
            after = lagged.resume_after or after

    worker = Worker("watching access", watch, every_seconds=0.0, begins_at_once=True, longest_pause_seconds=1.0)
    return worker
