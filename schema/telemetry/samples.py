"""Samples as a list, one entry for each."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import strawberry

from ml.catalogue.metrics import CATALOGUE, TargetKind
from resolvers.base.errors import to_camel_case
from schema.enums import Direction
from schema.input_mappings import keep_mappings
from schema.telemetry.inputs import AT, L, N, S, optional_metric

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class Samples(dict[str, list[Any]]):
    """Many samples as columns by GraphQL field name; a list with one of these stands for all of them."""


class Sample:
    """Base of the sample inputs, of which a request may hold 100 000.

    A sample stays a mapping. If all of a list are coerced together, they become columns (`Samples`).
    """

    of_columns = Samples


@strawberry.input(description="One measurement. A metric that is null was not measured; at least one must be given.")
class NetworkSampleInput(Sample):
    network: int = strawberry.field(description="The network's number.")
    at: datetime = strawberry.field(description=AT)
    bandwidth_mbps: float | None = optional_metric(N.kind, "bandwidth_mbps")
    packet_loss_pct: float | None = optional_metric(N.kind, "packet_loss_pct")
    latency_ms: float | None = optional_metric(N.kind, "latency_ms")
    error_rate: float | None = optional_metric(N.kind, "error_rate")
    connections: int | None = optional_metric(N.kind, "connections")


@strawberry.input(description="One measurement. A metric that is null was not measured; at least one must be given.")
class SiteSampleInput(Sample):
    site: int = strawberry.field(description="The site's number.")
    at: datetime = strawberry.field(description=AT)
    response_time_ms: float | None = optional_metric(S.kind, "response_time_ms")
    error_rate: float | None = optional_metric(S.kind, "error_rate")
    uptime_pct: float | None = optional_metric(S.kind, "uptime_pct")
    cpu_pct: float | None = optional_metric(S.kind, "cpu_pct")
    memory_pct: float | None = optional_metric(S.kind, "memory_pct")
    request_count: int | None = optional_metric(S.kind, "request_count")
    error_count: int | None = optional_metric(S.kind, "error_count")
    latitude_deg: float | None = optional_metric(S.kind, "latitude_deg")
    longitude_deg: float | None = optional_metric(S.kind, "longitude_deg")
    heading_deg: float | None = optional_metric(S.kind, "heading_deg")


@strawberry.input(description="One measurement. A metric that is null was not measured; at least one must be given.")
class LinkSampleInput(Sample):
    link: int = strawberry.field(description="The link's number.")
    direction: Direction
    at: datetime = strawberry.field(description=AT)
    throughput_mbps: float | None = optional_metric(L.kind, "throughput_mbps")
    utilization_pct: float | None = optional_metric(L.kind, "utilization_pct")
    errors: int | None = optional_metric(L.kind, "errors")
    discards: int | None = optional_metric(L.kind, "discards")
    uptime_pct: float | None = optional_metric(L.kind, "uptime_pct")
    esno_db: float | None = optional_metric(L.kind, "esno_db")
    rx_level_dbm: float | None = optional_metric(L.kind, "rx_level_dbm")
    tx_power_dbm: float | None = optional_metric(L.kind, "tx_power_dbm")
    latency_ms: float | None = optional_metric(L.kind, "latency_ms")
    jitter_ms: float | None = optional_metric(L.kind, "jitter_ms")
    packet_loss_pct: float | None = optional_metric(L.kind, "packet_loss_pct")
    grade: float | None = strawberry.field(
        default=None,
        description="Quality grade, 0 (dead) to 10 (perfect); below 7 is critical. If null, the server computes it"
        " from Es/N0, packet loss, latency and uptime.",
    )
    modcod: int | None = optional_metric(L.kind, "modcod")
    symbol_rate_ksps: float | None = optional_metric(L.kind, "symbol_rate_ksps")
    beam: int | None = optional_metric(L.kind, "beam")


keep_mappings(NetworkSampleInput, SiteSampleInput, LinkSampleInput)


def samples_to_frame(kind: TargetKind, samples: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Returns the frame that the recording resolver takes; for `samples` see `Sample`."""
    key = kind.value.lower()
    given = samples[0] if samples and isinstance(samples[0], Samples) else _samples_to_columns(kind, samples)
    data = {"number": pl.Series(given[key], dtype=pl.Int64)}
    if kind is TargetKind.LINK:
        data["direction"] = pl.Series(given["direction"], dtype=pl.String)
    data["at"] = pl.Series([(at - EPOCH) // MILLISECOND for at in given["at"]], dtype=pl.Int64)
    for column in CATALOGUE[kind].columns:
        data[column] = pl.Series(given[to_camel_case(column)], dtype=pl.Float64, strict=False)
    for spec in CATALOGUE[kind].context_specs:
        values = given[to_camel_case(spec.column)]
        if values.count(None) < len(values):
            data[spec.column] = pl.Series(values, dtype=pl.Float64, strict=False)
    return pl.DataFrame(data)


def _samples_to_columns(kind: TargetKind, samples: Sequence[Mapping[str, Any]]) -> Samples:
    names = (kind.value.lower(), "direction", "at", *map(to_camel_case, CATALOGUE[kind].recorded_columns))
    return Samples({name: [sample.get(name) for sample in samples] for name in names})
