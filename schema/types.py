"""The fleet, and what is found on it, as clients see them."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import strawberry

from ml.metrics import Metric, TargetKind
from resolvers.filters import AnomalyFilter as Filter
from resolvers.filters import TargetKey
from resolvers.loaders import Children
from resolvers.paging import Window
from schema.directives import READINGS, paged, sized
from schema.enums import AnomalyChange, AnomalyStatus, Band, Direction, Severity, SiteRole, Verdict
from schema.inputs import AnomalyFilter, TimeWindow, filter_of
from schema.node import Connection, Info, Node, connection
from schema.people import User
from schema.series import MetricSeries, MetricStatistics, series_of, statistics_of

if TYPE_CHECKING:
    from schema.correlation import CorrelationAnalysis
    from schema.recommendations import Recommendation

T = TypeVar("T", bound=Node)
Metrics = list[Metric] | None


async def children_of(
    info: Info,
    node: type[T],
    of: str | TargetKind,
    parent: int | str | UUID,
    window: Window,
    filter: Filter | None = None,
) -> Connection[T]:
    loaders, children = info.context.loaders, Children(of, filter or Filter())
    page = await loaders.page.load(((children, window), parent))
    return connection(page, node, partial(loaders.count.load, (children, parent)))


# ---------------------------------------------------------------- topology


@strawberry.type
class Observed(Node):
    """What networks, sites and links share."""

    @paged(10, description="Newest first.")
    async def anomalies(
        self, info: Info, filter: AnomalyFilter | None = None, first: int | None = None, after: str | None = None
    ) -> Connection["Anomaly"]:
        kind = TargetKind(type(self).__name__.upper())
        return await children_of(info, Anomaly, kind, self.row.id, Window(first, after), filter_of(filter))


@strawberry.type
class Measured(Observed):
    """What networks and sites share; a link is measured in each direction."""

    @strawberry.field(directives=[READINGS])
    async def series(
        self, info: Info, metrics: Metrics = None, window: TimeWindow | None = None, max_points: int | None = 1000
    ) -> MetricSeries:
        return await series_of(self, info, "", metrics, window, max_points)

    @strawberry.field(directives=[READINGS])
    async def statistics(
        self, info: Info, metrics: Metrics = None, window: TimeWindow | None = None
    ) -> list[MetricStatistics]:
        return await statistics_of(self, info, "", metrics, window)


@strawberry.type(description="satellite ─ transponder ─ network ─ link ─ remote site.")
class Satellite(Node):
    name: str
    longitude: float | None = strawberry.field(description="Degrees east.")

    @paged(10)
    async def networks(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Network"]:
        return await children_of(info, Network, "satellite.networks", self.row.id, Window(first, after))


@strawberry.type(description="A hub (its antenna serves networks) or a remote terminal.")
class Site(Measured):
    number: int = strawberry.field(description="The operator's own number.")
    name: str
    role: SiteRole
    latitude: float | None
    longitude: float | None
    antenna_diameter_m: float | None
    mobile: bool

    @paged(5, description="Those that a hub's antenna serves, or that a remote takes part in.")
    async def networks(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Network"]:
        return await children_of(info, Network, "site.networks", self.row.id, Window(first, after))

    @paged(20, description="A remote's own; a hub's are those of its networks.")
    async def links(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Link"]:
        return await children_of(info, Link, "site.links", self.row.id, Window(first, after))


@strawberry.type(description="One hub chain's carriers on one transponder, and the links on them.")
class Network(Measured):
    number: int = strawberry.field(description="The operator's own number.")
    name: str
    transponder: str | None
    band: Band

    @strawberry.field
    async def hub(self, info: Info) -> Site:
        return Site.of(await info.context.loaders.site.load(self.row.hub_id))

    @strawberry.field
    async def satellite(self, info: Info) -> Satellite:
        return Satellite.of(await info.context.loaders.satellite.load(self.row.satellite_id))

    @paged(50)
    async def links(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Link"]:
        return await children_of(info, Link, "network.links", self.row.id, Window(first, after))


@strawberry.type(description="One remote's pair of directions.")
class Link(Observed):
    number: int = strawberry.field(description="The operator's own number.")
    name: str

    @strawberry.field
    async def network(self, info: Info) -> Network:
        return Network.of(await info.context.loaders.network.load(self.row.network_id))

    @strawberry.field
    async def site(self, info: Info) -> Site:
        return Site.of(await info.context.loaders.site.load(self.row.site_id))

    @strawberry.field(
        description="The latest quality grade of a direction, 0 (dead) to 10 (perfect); below 7.0 is critical."
    )
    async def grade(self, info: Info, direction: Direction) -> float | None:
        return await info.context.loaders.grade.load((self.row.id, direction.value))

    @strawberry.field(directives=[READINGS])
    async def series(
        self,
        info: Info,
        direction: Direction,
        metrics: Metrics = None,
        window: TimeWindow | None = None,
        max_points: int | None = 1000,
    ) -> MetricSeries:
        return await series_of(self, info, direction, metrics, window, max_points)

    @strawberry.field(directives=[READINGS])
    async def statistics(
        self, info: Info, direction: Direction, metrics: Metrics = None, window: TimeWindow | None = None
    ) -> list[MetricStatistics]:
        return await statistics_of(self, info, direction, metrics, window)


Target = Annotated[Network | Site | Link, strawberry.union("Target", description="What samples are measured on.")]
TARGETS: dict[TargetKind, type[Network | Site | Link]] = {
    TargetKind.NETWORK: Network,
    TargetKind.SITE: Site,
    TargetKind.LINK: Link,
}


async def target_of(info: Info, kind: TargetKind, id: int) -> Any:
    return TARGETS[kind].of(await info.context.loaders.target(TargetKey(kind, id)))


async def user_of(info: Info, id: int | None) -> User | None:
    return None if id is None else User.maybe(await info.context.loaders.user.load(id))


# ---------------------------------------------------------------- detection


@strawberry.type(description="One metric's part in the verdict, largest first.")
class Contribution:
    metric: Metric
    observed: float | None
    expected: float | None
    deviation: float = strawberry.field(description="In robust standard deviations, signed.")
    share: float = strawberry.field(description="0 to 1; all shares sum to 1.")

    @classmethod
    def of(cls, kept: dict[str, Any]) -> "Contribution":
        return cls(**{**kept, "metric": Metric(kept["metric"])})


@strawberry.type(description="Who did what, when; never changed afterwards.")
class AuditEntry:
    at: datetime
    action: str
    note: str | None
    by_id: strawberry.Private[int | None]

    @strawberry.field(description="Null where the server did it by itself.")
    async def by(self, info: Info) -> User | None:
        return await user_of(info, self.by_id)


async def history_of(info: Info, subject: UUID) -> list[AuditEntry]:
    """Of an anomaly or a recommendation."""
    entries = await info.context.loaders.history.load(subject)
    return [AuditEntry(at=e.at, action=e.action, note=e.note, by_id=e.by_id) for e in entries]


@strawberry.type(
    description="A stretch of time during which a target misbehaved."
    " Opened by recorded metrics or by a positive detection."
)
class Anomaly(Node):
    kind: TargetKind
    direction: Direction | None
    status: AnomalyStatus
    severity: Severity
    score: float = strawberry.field(description="The highest so far, above 0 to 1.")
    confidence: float = strawberry.field(description="The calibrated probability, 0 to 1, that it is real.")
    model_version: str
    started_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None = strawberry.field(description="Null while it lasts.")
    detected_at: datetime
    feedback: Verdict | None

    @strawberry.field
    async def target(self, info: Info) -> Target:
        return await target_of(info, self.kind, self.row.target_id)  # type: ignore[no-any-return]

    @strawberry.field(description="Of its worst moment, largest first.", directives=[sized(12)])
    def contributions(self) -> list[Contribution]:
        return [Contribution.of(kept) for kept in self.row.contributions]

    @strawberry.field(description="That ran by itself as this and others opened together, where it explains this.")
    async def analysis(
        self, info: Info
    ) -> Annotated["CorrelationAnalysis", strawberry.lazy("schema.correlation")] | None:
        from schema.correlation import CorrelationAnalysis  # noqa: PLC0415  which knows this module

        if self.row.analysis_id is None:
            return None
        return CorrelationAnalysis.maybe(await info.context.loaders.analysis.load(self.row.analysis_id))

    @strawberry.field
    async def acknowledged_by(self, info: Info) -> User | None:
        return await user_of(info, self.row.acknowledged_by_id)

    @strawberry.field(description="Everything that happened to it, oldest first.", directives=[sized(10)])
    async def history(self, info: Info) -> list[AuditEntry]:
        return await history_of(info, self.row.id)

    @paged(7, description="The present ones, best first: see `recommend`.")
    async def recommendations(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection[Annotated["Recommendation", strawberry.lazy("schema.recommendations")]]:
        from schema.recommendations import Recommendation  # noqa: PLC0415  which knows this module

        return await children_of(info, Recommendation, "anomaly.recommendations", self.row.id, Window(first, after))


@strawberry.type(description="The verdict on one set of measurements that somebody asked for; kept for the record.")
class Detection(Node):
    kind: TargetKind
    is_anomaly: bool
    anomaly_score: float = strawberry.field(description="-1 (ordinary) to 1 (extreme); above 0 exactly when isAnomaly.")
    confidence: float = strawberry.field(description="The calibrated probability, 0 to 1, that this is a real anomaly.")
    model_version: str
    created_at: datetime

    @strawberry.field(description="Null where the fleet's history was asked.")
    async def target(self, info: Info) -> Target | None:
        if self.row.target_id is None:
            return None
        return await target_of(info, self.kind, self.row.target_id)  # type: ignore[no-any-return]

    @strawberry.field(directives=[sized(12)])
    def contributions(self) -> list[Contribution]:
        return [Contribution.of(kept) for kept in self.row.contributions]

    @strawberry.field
    async def requested_by(self, info: Info) -> User | None:
        return await user_of(info, self.row.requested_by_id)

    @strawberry.field(description="The one that it opened, or that was open already.")
    async def anomaly(self, info: Info) -> Anomaly | None:
        if self.row.anomaly_id is None:
            return None
        return Anomaly.maybe(await info.context.loaders.anomaly.load(self.row.anomaly_id))


@strawberry.type
class AnomalyEvent:
    cursor: str = strawberry.field(description="Pass it as `after` to resume behind this event.")
    change: AnomalyChange
    key: strawberry.Private[UUID]

    @strawberry.field(description="As it is when the event arrives.")
    async def anomaly(self, info: Info) -> Anomaly:
        return Anomaly.of(await info.context.loaders.anomaly.load(self.key))


@strawberry.type(description="Samples of one link and direction that were stored together; raw.")
class LinkMetricsEvent:
    link: Link
    direction: Direction
    series: MetricSeries


# ---------------------------------------------------------------- what mutations report


@strawberry.type(description="How many of each were created or updated.")
class Topology:
    satellites: int
    sites: int
    networks: int
    links: int


@strawberry.type
class RejectedSample:
    row: int = strawberry.field(description="Its index in the input, from 0.")
    reason: str


@strawberry.type(
    description="accepted: stored now, durably, and scored. duplicates: same target, direction and time already stored;"
    " the stored one stays. rejected: rows refused (unknown target, impossible value, time over 5 minutes ahead), at"
    " most 100 listed, all counted."
)
class RecordedMetrics:
    accepted: int
    duplicates: int
    rejected_count: int
    rejected: list[RejectedSample]
    anomalies: list[Anomaly] = strawberry.field(description="Those that this batch opened, extended or ended.")
