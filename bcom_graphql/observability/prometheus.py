"""Serves /metrics in the Prometheus text format: of this process, or of all workers of `serve --workers`.

Workers write their metrics into files of one folder (prometheus_client's multiprocess mode), and the one that is
scraped adds them up. Each sets its observed gauges every few seconds, and when it is scraped.
"""

import asyncio
import hmac
import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog
from prometheus_client import REGISTRY, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.process_collector import ProcessCollector
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from bcom_graphql import __version__
from resolvers.base.tokens import parse_bearer
from resolvers.base.worker import Worker
from resolvers.context import Services
from resolvers.operations.gauges import Observer, OpenAnomalies
from resolvers.store.postgres.embedded import Supervised

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client
SECONDS: Final = 5.0
DEADLINE_SECONDS: Final = 60.0
UNCACHED: Final = {"cache-control": "no-store"}
FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")

logger = structlog.get_logger(__name__)
disable_created_metrics()  # type: ignore[no-untyped-call]  # else each counter has a series beside it that tells when it began


@contextmanager
def shared(workers: int) -> Iterator[None]:
    """Lets workers that are started in this context be scraped as one."""
    if workers == 1:
        yield
        return
    with TemporaryDirectory(prefix="bcom-metrics-") as folder:
        os.environ[FOLDER] = folder
        yield


class Metrics:
    """The metrics endpoint of the process with these services."""

    def __init__(self, services: Services, token: SecretStr | None, embedded: Supervised | None = None) -> None:
        self._observer = Observer.from_services(services)
        self._token = token
        self._embedded = embedded
        self._folder = os.environ.get(FOLDER)

    async def answer(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        open_anomalies, _ = await asyncio.gather(self._observer.open_anomalies.get(), self._observer.observe())
        scrape = Scrape(self._folder, open_anomalies, self._embedded)
        encode, media = choose_encoder(request.headers.get("accept", ""))
        text = await asyncio.to_thread(encode, scrape)
        return Response(text, headers=UNCACHED, media_type=media)

    def _refusal(self, request: Request) -> Response | None:
        if self._token is None:
            if asks_directly(request) and is_near(request):
                return None
            return PlainTextResponse("Set METRICS_TOKEN to scrape from here.\n", 403, UNCACHED)
        given = parse_bearer(request.headers.get("authorization")) or ""
        if hmac.compare_digest(given.encode(), self._token.get_secret_value().encode()):
            return None
        headers = {**UNCACHED, "www-authenticate": "Bearer"}
        return PlainTextResponse("Authorization must be `Bearer` and METRICS_TOKEN.\n", 401, headers)

    def build_worker(self) -> Worker | None:
        """Returns the worker that keeps this process's gauges true where others may be scraped for it; else None."""
        if not self._folder:
            return None
        work = self._observer.observe
        return Worker("observing", work, every_seconds=SECONDS, begins_at_once=True, deadline_seconds=DEADLINE_SECONDS)

    def stop(self) -> None:
        """Removes this process's gauges from the sum; its counters stay."""
        if self._folder:
            mark_process_dead(os.getpid(), self._folder)  # type: ignore[no-untyped-call]


def asks_directly(request: Request) -> bool:
    """Tells whether no proxy is in between, whose address would be near while the client may be far."""
    return not any(name in request.headers for name in FORWARDED)


def is_near(request: Request) -> bool:
    """Tells whether the client has a loopback or private address."""
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if address.version == 6 else None
    return (mapped or address).is_private


class Scrape:
    """All there is at one moment, in the form that prometheus_client's encoders ask for."""

    def __init__(
        self, folder: str | None, open_anomalies: OpenAnomalies | None, embedded: Supervised | None = None
    ) -> None:
        self._folder = folder
        self._open_anomalies = open_anomalies
        self._embedded = embedded

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("bcom_build", "What is running.", {"version": __version__})
        database_up = GaugeMetricFamily("bcom_database_up", "Whether the database answers.")
        database_up.add_metric([], self._open_anomalies is not None)
        yield database_up
        if self._open_anomalies is not None:
            yield _open(self._open_anomalies)
        name, told = "bcom_embedded_postgres_restarts", "Times that the embedded PostgreSQL was started again."
        yield CounterMetricFamily(name, told, self._embedded.restarts if self._embedded else 0)
        yield from REGISTRY.collect() if self._folder is None else _of_all(self._folder)


def _open(numbers: OpenAnomalies) -> Metric:
    family = GaugeMetricFamily("bcom_open_anomalies", "Anomalies that have not ended.", labels=["severity", "status"])
    for (severity, status), number in numbers.items():
        family.add_metric([severity.lower(), status.lower()], number)
    return family


# ---------------------------------------------------------------- several processes


def _of_all(folder: str) -> Iterator[Metric]:
    alive = _alive(folder)
    yield from MultiProcessCollector(None, folder).collect()  # type: ignore[no-untyped-call]
    yield from _processes(alive)


def _alive(folder: str) -> list[int]:
    """Returns the workers' process ids, and removes the gauges of those that were killed."""
    alive = []
    for pid in {int(file.stem.rsplit("_", 1)[1]) for file in Path(folder).glob("gauge_live*.db")}:
        try:
            os.kill(pid, 0)
            alive.append(pid)
        except OSError:  # gone, or another user's by now
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
    return sorted(alive)


def _processes(pids: list[int]) -> Iterator[Metric]:
    """Yields Prometheus' process metrics for each process."""
    families: dict[str, Metric] = {}
    for pid in pids:
        for found in ProcessCollector(pid=partial(int, pid), registry=None).collect():
            family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
            for sample in found.samples:
                family.add_sample(sample.name, {"pid": str(pid)}, sample.value)
    yield from families.values()
