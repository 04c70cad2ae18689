"""What clients send."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

import polars as pl
import strawberry
from strawberry import ID
from strawberry.types import get_object_definition

from ml.catalogue.metrics import CATALOGUE, TargetKind
from resolvers.base.errors import InvalidInput, camel
from resolvers.detection.filters import AnomalyFilter as Filter
from resolvers.detection.filters import TargetKey
from resolvers.fleet import topology
from resolvers.store.postgres.identifiers import entity_key
from schema.directives import Constraint
from schema.enums import AnomalyStatus, Band, Direction, Metric, Role, Severity, SiteRole
from schema.relay import parse_id
from schema.scalars import DirectionArray, FloatArray, IntArray, TimeArray

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
OF_FLEET = Constraint(max_items=topology.LARGEST_TOPOLOGY)
Spec = TypeVar("Spec")
N, S, L = (CATALOGUE[kind] for kind in TargetKind)


def _measured(kind: TargetKind, name: str) -> Any:
    """An optional reading, described by the catalogue."""
    return strawberry.field(default=None, description=CATALOGUE[kind].spec(Metric(name.upper())).described)


def _asked(kind: TargetKind, name: str) -> Any:
    """A required reading, described by the catalogue."""
    return strawberry.field(description=CATALOGUE[kind].spec(Metric(name.upper())).described)


# ---------------------------------------------------------------- people


@strawberry.input(description="A new account for yourself.")
class RegisterInput:
    email: str
    password: str = strawberry.field(description="8 to 128 characters.")
    full_name: str | None = None
    token: str | None = strawberry.field(
        default=None,
        description="The token of the first admin, from the server's log. Needed only if registration is closed.",
    )


@strawberry.input(description="What a user signs in with.")
class LoginInput:
    email: str
    password: str


@strawberry.input(description="A new account for somebody else.")
class CreateUserInput:
    email: str
    full_name: str | None = None
    role: Role | None = Role.VIEWER


@strawberry.input(description="Changes to a user. A field that is null or omitted stays as it is.")
class UpdateUserInput:
    id: ID
    full_name: str | None = None
    role: Role | None = None
    is_active: bool | None = strawberry.field(
        default=None,
        description="False ends the user's sessions and revokes their API keys; true lets them sign in again.",
    )


# ---------------------------------------------------------------- topology


@strawberry.input(description="A satellite, identified by its name.")
class SatelliteInput:
    name: str
    longitude: float | None = strawberry.field(default=None, description="Orbital position in degrees east.")


@strawberry.input(description="A hub or a remote, identified by its number.")
class SiteInput:
    number: int = strawberry.field(description="Your own number of the site.")
    name: str
    role: SiteRole
    latitude: float | None = strawberry.field(default=None, description="Degrees north, -90 to 90.")
    longitude: float | None = strawberry.field(default=None, description="Degrees east, -180 to 360.")
    antenna_diameter_m: float | None = strawberry.field(default=None, description="In meters, 0.1 to 100.")
    mobile: bool | None = strawberry.field(default=False, description="True if the site moves, such as a ship.")


@strawberry.input(description="A network, identified by its number.")
class NetworkInput:
    number: int = strawberry.field(description="Your own number of the network.")
    name: str
    hub: int = strawberry.field(description="The number of its hub, a site with the role HUB.")
    satellite: str = strawberry.field(description="The name of its satellite.")
    transponder: str | None = strawberry.field(default=None, description="The name of its transponder, if known.")
    band: Band | None = Band.KU


@strawberry.input(description="A link, identified by its number.")
class LinkInput:
    number: int = strawberry.field(description="Your own number of the link.")
    name: str
    network: int = strawberry.field(description="The number of its network.")
    site: int = strawberry.field(description="The number of its remote, a site with the role REMOTE.")


@strawberry.input(
    description="Satellites, sites, networks and links to create or update, in this order. An entry with a known name"
    " (satellites) or number (the others) replaces all fields of that object. Entries may refer to others of the same"
    " input."
)
class TopologyInput:
    satellites: list[SatelliteInput] | None = strawberry.field(default_factory=list, directives=[OF_FLEET])
    sites: list[SiteInput] | None = strawberry.field(default_factory=list, directives=[OF_FLEET])
    networks: list[NetworkInput] | None = strawberry.field(default_factory=list, directives=[OF_FLEET])
    links: list[LinkInput] | None = strawberry.field(default_factory=list, directives=[OF_FLEET])


def topology_spec(input: object) -> topology.TopologySpec:
    """What a `TopologyInput` asks for, null being as good as nothing. Takes long: it may be a whole fleet."""
    given = cast("Mapping[str, Any]", input)  # as GraphQL has it
    return topology.TopologySpec(
        _specs(topology.SatelliteSpec, given["satellites"]),
        _specs(topology.SiteSpec, given["sites"]),
        _specs(topology.NetworkSpec, given["networks"]),
        _specs(topology.LinkSpec, given["links"]),
    )


def _specs(of: type[Spec], entries: Sequence[Mapping[str, Any]] | None) -> list[Spec]:
    names = {camel(field.name): field.name for field in fields(cast("Any", of))}
    return [of(**{names[name]: value for name, value in one.items() if value is not None}) for one in entries or ()]


# ---------------------------------------------------------------- metrics


@strawberry.input(description="A span of time. By default the last 24 hours.")
class TimeWindow:
    from_: datetime | None = strawberry.field(
        name="from", default=None, description="Start, inclusive. Default: `hours` before `to`."
    )
    to: datetime | None = strawberry.field(default=None, description="End, exclusive. Default: now.")
    hours: float | None = strawberry.field(
        default=24, description="Length in hours, used if `from` is null. Default: 24."
    )


AT = "When it was measured: at most 5 minutes ahead of the server, and not before the oldest samples kept."


class Samples(dict[str, list[Any]]):
    """Columns by the fields' names in GraphQL: in a list of samples, one that stands for many."""


class Sample:
    """Comes by the ten thousand and goes into a frame: an object for each would be made for nothing.

    So a sample stays as GraphQL has it, and where all are coerced together, they are columns.
    """

    of_columns = Samples


@strawberry.input(description="One measurement. A metric that is null was not measured; at least one must be given.")
class NetworkSampleInput(Sample):
    network: int = strawberry.field(description="The network's number.")
    at: datetime = strawberry.field(description=AT)
    bandwidth_mbps: float | None = _measured(N.kind, "bandwidth_mbps")
    packet_loss_pct: float | None = _measured(N.kind, "packet_loss_pct")
    latency_ms: float | None = _measured(N.kind, "latency_ms")
    error_rate: float | None = _measured(N.kind, "error_rate")
    connections: int | None = _measured(N.kind, "connections")


@strawberry.input(description="One measurement. A metric that is null was not measured; at least one must be given.")
class SiteSampleInput(Sample):
    site: int = strawberry.field(description="The site's number.")
    at: datetime = strawberry.field(description=AT)
    response_time_ms: float | None = _measured(S.kind, "response_time_ms")
    error_rate: float | None = _measured(S.kind, "error_rate")
    uptime_pct: float | None = _measured(S.kind, "uptime_pct")
    cpu_pct: float | None = _measured(S.kind, "cpu_pct")
    memory_pct: float | None = _measured(S.kind, "memory_pct")
    request_count: int | None = _measured(S.kind, "request_count")
    error_count: int | None = _measured(S.kind, "error_count")


@strawberry.input(description="One measurement. A metric that is null was not measured; at least one must be given.")
class LinkSampleInput(Sample):
    link: int = strawberry.field(description="The link's number.")
    direction: Direction
    at: datetime = strawberry.field(description=AT)
    throughput_mbps: float | None = _measured(L.kind, "throughput_mbps")
    utilization_pct: float | None = _measured(L.kind, "utilization_pct")
    errors: int | None = _measured(L.kind, "errors")
    discards: int | None = _measured(L.kind, "discards")
    uptime_pct: float | None = _measured(L.kind, "uptime_pct")
    esno_db: float | None = _measured(L.kind, "esno_db")
    rx_level_dbm: float | None = _measured(L.kind, "rx_level_dbm")
    tx_power_dbm: float | None = _measured(L.kind, "tx_power_dbm")
    latency_ms: float | None = _measured(L.kind, "latency_ms")
    jitter_ms: float | None = _measured(L.kind, "jitter_ms")
    packet_loss_pct: float | None = _measured(L.kind, "packet_loss_pct")
    grade: float | None = strawberry.field(
        default=None,
        description="Quality grade, 0 (dead) to 10 (perfect); below 7 is critical. If null, the server computes it"
        " from Es/N0, packet loss, latency and uptime.",
    )


def _as_it_is(_: type, given: Mapping[str, Any], __: object) -> Mapping[str, Any]:
    return given


for _many in (TopologyInput, NetworkSampleInput, SiteSampleInput, LinkSampleInput):
    get_object_definition(_many, strict=True).from_input = _as_it_is

COLUMNS = "Samples as columns of equal length, one row per sample. Faster than a list of samples."


@strawberry.input(description=COLUMNS)
class NetworkColumns:
    network: IntArray = strawberry.field(description="The networks' numbers.")
    at: TimeArray = strawberry.field(description=AT)
    bandwidth_mbps: FloatArray | None = _measured(N.kind, "bandwidth_mbps")
    packet_loss_pct: FloatArray | None = _measured(N.kind, "packet_loss_pct")
    latency_ms: FloatArray | None = _measured(N.kind, "latency_ms")
    error_rate: FloatArray | None = _measured(N.kind, "error_rate")
    connections: FloatArray | None = _measured(N.kind, "connections")


@strawberry.input(description=COLUMNS)
class SiteColumns:
    site: IntArray = strawberry.field(description="The sites' numbers.")
    at: TimeArray = strawberry.field(description=AT)
    response_time_ms: FloatArray | None = _measured(S.kind, "response_time_ms")
    error_rate: FloatArray | None = _measured(S.kind, "error_rate")
    uptime_pct: FloatArray | None = _measured(S.kind, "uptime_pct")
    cpu_pct: FloatArray | None = _measured(S.kind, "cpu_pct")
    memory_pct: FloatArray | None = _measured(S.kind, "memory_pct")
    request_count: FloatArray | None = _measured(S.kind, "request_count")
    error_count: FloatArray | None = _measured(S.kind, "error_count")


@strawberry.input(description=COLUMNS)
class LinkColumns:
    link: IntArray = strawberry.field(description="The links' numbers.")
    direction: DirectionArray
    at: TimeArray = strawberry.field(description=AT)
    throughput_mbps: FloatArray | None = _measured(L.kind, "throughput_mbps")
    utilization_pct: FloatArray | None = _measured(L.kind, "utilization_pct")
    errors: FloatArray | None = _measured(L.kind, "errors")
    discards: FloatArray | None = _measured(L.kind, "discards")
    uptime_pct: FloatArray | None = _measured(L.kind, "uptime_pct")
    esno_db: FloatArray | None = _measured(L.kind, "esno_db")
    rx_level_dbm: FloatArray | None = _measured(L.kind, "rx_level_dbm")
    tx_power_dbm: FloatArray | None = _measured(L.kind, "tx_power_dbm")
    latency_ms: FloatArray | None = _measured(L.kind, "latency_ms")
    jitter_ms: FloatArray | None = _measured(L.kind, "jitter_ms")
    packet_loss_pct: FloatArray | None = _measured(L.kind, "packet_loss_pct")
    grade: FloatArray | None = _measured(L.kind, "grade")


def frame_of_columns(kind: TargetKind, columns: object) -> pl.DataFrame:
    """The frame that `metrics.record` takes. Raises InvalidInput for unequal lengths."""
    given: dict[str, pl.Series] = {name: value for name, value in vars(columns).items() if value is not None}
    rows = len(given["at"])
    for name, values in given.items():
        if len(values) != rows:
            message = f"`at` has {rows} entries, but `{camel(name)}` has {len(values)}."
            raise InvalidInput(message, ["columns", camel(name)])
    return pl.DataFrame({_column(kind, name): values for name, values in given.items()})


def frame_of_samples(kind: TargetKind, samples: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The frame that `metrics.record` takes, of samples as they come (see `Sample`)."""
    key = kind.value.lower()
    given = samples[0] if samples and isinstance(samples[0], Samples) else _columns_of(kind, samples)
    data = {"number": pl.Series(given[key], dtype=pl.Int64)}
    if kind is TargetKind.LINK:
        data["direction"] = pl.Series(given["direction"], dtype=pl.String)
    data["at"] = pl.Series([(at - EPOCH) // MILLISECOND for at in given["at"]], dtype=pl.Int64)
    for column in CATALOGUE[kind].columns:
        data[column] = pl.Series(given[camel(column)], dtype=pl.Float64, strict=False)
    return pl.DataFrame(data)


def _columns_of(kind: TargetKind, samples: Sequence[Mapping[str, Any]]) -> Samples:
    names = (kind.value.lower(), "direction", "at", *map(camel, CATALOGUE[kind].columns))
    return Samples({name: [sample.get(name) for sample in samples] for name in names})


def _column(kind: TargetKind, name: str) -> str:
    return "number" if name == kind.value.lower() else name


# ---------------------------------------------------------------- detection

MEASUREMENTS = (
    "Five current measurements. They are compared with the history of `{}` if it is given, else with the whole fleet."
)
SENSITIVITY = "0 to 1; a higher value reports more anomalies. Default: the setting for this kind, see `sensitivity`."


@strawberry.input(description=MEASUREMENTS.format("network"))
class DetectNetworkInput:
    network: ID | None = strawberry.field(default=None, description="Whose measurements they are.")
    bandwidth_mbps: float = _asked(N.kind, "bandwidth_mbps")
    packet_loss_pct: float = _asked(N.kind, "packet_loss_pct")
    latency_ms: float = _asked(N.kind, "latency_ms")
    error_rate: float = _asked(N.kind, "error_rate")
    connections: float = _asked(N.kind, "connections")
    sensitivity: float | None = strawberry.field(default=None, description=SENSITIVITY)


@strawberry.input(description=MEASUREMENTS.format("site"))
class DetectSiteInput:
    site: ID | None = strawberry.field(default=None, description="Whose measurements they are.")
    response_time_ms: float = _asked(S.kind, "response_time_ms")
    error_rate: float = _asked(S.kind, "error_rate")
    uptime_pct: float = _asked(S.kind, "uptime_pct")
    cpu_pct: float = _asked(S.kind, "cpu_pct")
    memory_pct: float = _asked(S.kind, "memory_pct")
    sensitivity: float | None = strawberry.field(default=None, description=SENSITIVITY)


@strawberry.input(description=MEASUREMENTS.format("link"))
class DetectLinkInput:
    link: ID | None = strawberry.field(default=None, description="Whose measurements they are.")
    direction: Direction | None = strawberry.field(
        default=None, description="The direction that was measured. If null, both directions' histories are used."
    )
    throughput_mbps: float = _asked(L.kind, "throughput_mbps")
    utilization_pct: float = _asked(L.kind, "utilization_pct")
    errors: float = _asked(L.kind, "errors")
    discards: float = _asked(L.kind, "discards")
    uptime_pct: float = _asked(L.kind, "uptime_pct")
    sensitivity: float | None = strawberry.field(default=None, description=SENSITIVITY)


def measurements(kind: TargetKind, input: object) -> dict[str, float]:
    """The kind's five, by column."""
    return {spec.column: getattr(input, spec.column) for spec in CATALOGUE[kind].asked}


@strawberry.input(description="Anomalies that match all given conditions.")
class AnomalyFilter:
    kind: TargetKind | None = None
    statuses: list[AnomalyStatus] | None = strawberry.field(default=None, description="Any of these.")
    min_severity: Severity | None = strawberry.field(default=None, description="This severity or a higher one.")
    min_confidence: float | None = strawberry.field(default=None, description="This confidence or more, 0 to 1.")
    target: ID | None = strawberry.field(default=None, description="The id of a network, a site or a link.")
    satellite: str | None = strawberry.field(
        default=None,
        description="The name of a satellite that the target depends on.",
        directives=[Constraint(max_length=200)],
    )
    started_after: datetime | None = strawberry.field(default=None, description="Started at this time or later.")
    started_before: datetime | None = strawberry.field(default=None, description="Started before this time.")

    def value(self) -> Filter:
        given = {**vars(self), "target": _target(self.target)}
        return Filter(**given | {"statuses": None if self.statuses is None else tuple(self.statuses)})


def filter_of(filter: AnomalyFilter | None) -> Filter:
    return filter.value() if filter else Filter()


def _target(id: ID | None) -> TargetKey | None:
    if id is None:
        return None
    try:
        type_name, key = parse_id(id)
        return TargetKey(TargetKind(type_name.upper()), entity_key(key))
    except ValueError:
        raise InvalidInput("The target must be the id of a network, a site or a link.", ["filter", "target"]) from None
