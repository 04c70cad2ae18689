"""What clients send to detect and to find anomalies."""

from datetime import datetime

import strawberry
from strawberry import ID

from ml.catalogue.metrics import CATALOGUE, TargetKind
from resolvers.base.errors import InvalidInput
from resolvers.detection.filters import AnomalyFilter as Filter
from resolvers.detection.filters import TargetKey
from resolvers.store.postgres.identifiers import entity_key
from schema.directives import Constraint
from schema.enums import AnomalyStatus, Direction, Severity
from schema.relay import parse_id
from schema.telemetry.inputs import L, N, S, required_metric

MEASUREMENTS = (
    "Five current measurements. They are compared with the history of `{}` if it is given, else with the whole fleet."
)
SENSITIVITY = "0 to 1; a higher value reports more anomalies. Default: the setting for this kind, see `sensitivity`."


@strawberry.input(description=MEASUREMENTS.format("network"))
class DetectNetworkInput:
    network: ID | None = strawberry.field(default=None, description="Whose measurements they are.")
    bandwidth_mbps: float = required_metric(N.kind, "bandwidth_mbps")
    packet_loss_pct: float = required_metric(N.kind, "packet_loss_pct")
    latency_ms: float = required_metric(N.kind, "latency_ms")
    error_rate: float = required_metric(N.kind, "error_rate")
    connections: float = required_metric(N.kind, "connections")
    sensitivity: float | None = strawberry.field(default=None, description=SENSITIVITY)


@strawberry.input(description=MEASUREMENTS.format("site"))
class DetectSiteInput:
    site: ID | None = strawberry.field(default=None, description="Whose measurements they are.")
    response_time_ms: float = required_metric(S.kind, "response_time_ms")
    error_rate: float = required_metric(S.kind, "error_rate")
    uptime_pct: float = required_metric(S.kind, "uptime_pct")
    cpu_pct: float = required_metric(S.kind, "cpu_pct")
    memory_pct: float = required_metric(S.kind, "memory_pct")
    sensitivity: float | None = strawberry.field(default=None, description=SENSITIVITY)


@strawberry.input(description=MEASUREMENTS.format("link"))
class DetectLinkInput:
    link: ID | None = strawberry.field(default=None, description="Whose measurements they are.")
    direction: Direction | None = strawberry.field(
        default=None, description="The direction that was measured. If null, both directions' histories are used."
    )
    throughput_mbps: float = required_metric(L.kind, "throughput_mbps")
    utilization_pct: float = required_metric(L.kind, "utilization_pct")
    errors: float = required_metric(L.kind, "errors")
    discards: float = required_metric(L.kind, "discards")
    uptime_pct: float = required_metric(L.kind, "uptime_pct")
    sensitivity: float | None = strawberry.field(default=None, description=SENSITIVITY)


def measurements(kind: TargetKind, input: object) -> dict[str, float]:
    """Returns the five measurements of a kind, by column."""
    return {spec.column: getattr(input, spec.column) for spec in CATALOGUE[kind].core_specs}


@strawberry.input(description="Anomalies that match all given conditions.")
class AnomalyFilter:
    kind: TargetKind | None = None
    statuses: list[AnomalyStatus] | None = strawberry.field(default=None, description="Any of these.")
    min_severity: Severity | None = strawberry.field(default=None, description="This severity or a higher one.")
    min_confidence: float | None = strawberry.field(default=None, description="This confidence or more, 0 to 1.")
    historical: bool | None = strawberry.field(
        default=None, description="True: only those of imported history. False: only those of the present. Null: both."
    )
    target: ID | None = strawberry.field(default=None, description="The id of a network, a site or a link.")
    satellite: str | None = strawberry.field(
        default=None,
        description="The name of a satellite that the target depends on.",
        directives=[Constraint(max_length=200)],
    )
    started_after: datetime | None = strawberry.field(default=None, description="Started at this time or later.")
    started_before: datetime | None = strawberry.field(default=None, description="Started before this time.")

    def to_filter(self) -> Filter:
        given = {**vars(self), "target": _parse_target(self.target)}
        return Filter(**given | {"statuses": None if self.statuses is None else tuple(self.statuses)})


def to_filter(filter: AnomalyFilter | None) -> Filter:
    return filter.to_filter() if filter else Filter()


def _parse_target(id: ID | None) -> TargetKey | None:
    if id is None:
        return None
    try:
        type_name, key = parse_id(id)
        return TargetKey(TargetKind(type_name.upper()), entity_key(key))
    except ValueError:
        raise InvalidInput("The target must be the id of a network, a site or a link.", ["filter", "target"]) from None
