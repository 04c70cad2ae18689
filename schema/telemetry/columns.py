"""Samples as columns of equal length, which is faster than a list."""

import polars as pl
import strawberry

from ml.catalogue.metrics import TargetKind
from resolvers.base.errors import InvalidInput, to_camel_case
from schema.scalars import DirectionArray, FloatArray, IntArray, TimeArray
from schema.telemetry.inputs import AT, L, N, S, optional_metric

COLUMNS = "Samples as columns of equal length, one row per sample. Faster than a list of samples."


@strawberry.input(description=COLUMNS)
class NetworkColumns:
    network: IntArray = strawberry.field(description="The networks' numbers.")
    at: TimeArray = strawberry.field(description=AT)
    bandwidth_mbps: FloatArray | None = optional_metric(N.kind, "bandwidth_mbps")
    packet_loss_pct: FloatArray | None = optional_metric(N.kind, "packet_loss_pct")
    latency_ms: FloatArray | None = optional_metric(N.kind, "latency_ms")
    error_rate: FloatArray | None = optional_metric(N.kind, "error_rate")
    connections: FloatArray | None = optional_metric(N.kind, "connections")


@strawberry.input(description=COLUMNS)
class SiteColumns:
    site: IntArray = strawberry.field(description="The sites' numbers.")
    at: TimeArray = strawberry.field(description=AT)
    response_time_ms: FloatArray | None = optional_metric(S.kind, "response_time_ms")
    error_rate: FloatArray | None = optional_metric(S.kind, "error_rate")
    uptime_pct: FloatArray | None = optional_metric(S.kind, "uptime_pct")
    cpu_pct: FloatArray | None = optional_metric(S.kind, "cpu_pct")
    memory_pct: FloatArray | None = optional_metric(S.kind, "memory_pct")
    request_count: FloatArray | None = optional_metric(S.kind, "request_count")
    error_count: FloatArray | None = optional_metric(S.kind, "error_count")
    latitude_deg: FloatArray | None = optional_metric(S.kind, "latitude_deg")
    longitude_deg: FloatArray | None = optional_metric(S.kind, "longitude_deg")
    heading_deg: FloatArray | None = optional_metric(S.kind, "heading_deg")


@strawberry.input(description=COLUMNS)
class LinkColumns:
    link: IntArray = strawberry.field(description="The links' numbers.")
    direction: DirectionArray
    at: TimeArray = strawberry.field(description=AT)
    throughput_mbps: FloatArray | None = optional_metric(L.kind, "throughput_mbps")
    utilization_pct: FloatArray | None = optional_metric(L.kind, "utilization_pct")
    errors: FloatArray | None = optional_metric(L.kind, "errors")
    discards: FloatArray | None = optional_metric(L.kind, "discards")
    uptime_pct: FloatArray | None = optional_metric(L.kind, "uptime_pct")
    esno_db: FloatArray | None = optional_metric(L.kind, "esno_db")
    rx_level_dbm: FloatArray | None = optional_metric(L.kind, "rx_level_dbm")
    tx_power_dbm: FloatArray | None = optional_metric(L.kind, "tx_power_dbm")
    latency_ms: FloatArray | None = optional_metric(L.kind, "latency_ms")
    jitter_ms: FloatArray | None = optional_metric(L.kind, "jitter_ms")
    packet_loss_pct: FloatArray | None = optional_metric(L.kind, "packet_loss_pct")
    grade: FloatArray | None = optional_metric(L.kind, "grade")
    modcod: FloatArray | None = optional_metric(L.kind, "modcod")
    symbol_rate_ksps: FloatArray | None = optional_metric(L.kind, "symbol_rate_ksps")
    beam: FloatArray | None = optional_metric(L.kind, "beam")


def columns_to_frame(kind: TargetKind, columns: object) -> pl.DataFrame:
    """Returns the frame that the recording resolver takes. Raises InvalidInput if the lengths differ."""
    given: dict[str, pl.Series] = {name: value for name, value in vars(columns).items() if value is not None}
    rows = len(given["at"])
    for name, values in given.items():
        if len(values) != rows:
            message = f"`at` has {rows} entries, but `{to_camel_case(name)}` has {len(values)}."
            raise InvalidInput(message, ["columns", to_camel_case(name)])
    return pl.DataFrame({_column(kind, name): values for name, values in given.items()})


def _column(kind: TargetKind, name: str) -> str:
    return "number" if name == kind.value.lower() else name
