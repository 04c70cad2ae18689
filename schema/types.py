"""The fleet, and what is found on it, as clients see them."""

from collections.abc import Callable, Hashable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import strawberry

from ml.catalogue.metrics import Metric, TargetKind
from resolvers.detection import anomalies
from resolvers.fleet import topology
from resolvers.lists.listings import Listing
from resolvers.lists.loaders import Children
from resolvers.lists.pagination import Window
from resolvers.recommendations import recommendations
from resolvers.store.tables import analyses as analysis_tables
from resolvers.store.tables import core as tables
from schema.accounts import User
from schema.batched_fields import Pointer, needs, pointing, related
from schema.directives import QUERIED, MaxPoints, Metrics, paged, series, sized
from schema.enums import AnomalyChange, AnomalyStatus, Band, Direction, Severity, SiteRole, Verdict
from schema.inputs import AnomalyFilter, TimeWindow, filter_of
from schema.relay import Connection, Info, Node, connection
from schema.telemetry import MetricSeries, MetricStatistics, series_of, statistics_of

if TYPE_CHECKING:
    from schema.recommendations import Recommendation
    from schema.root_causes import CorrelationAnalysis

T = TypeVar("T", bound=Node)


async def children_of(
    info: Info,
    node: type[T],
    make: Callable[..., Listing[Any]],
    parent: int | str | UUID,
    window: Window,
    *arguments: Hashable,
) -> Connection[T]:
    """Returns a page of the parent's list that `make` returns for these arguments."""
    loaders, children = info.context.loaders, Children(make, arguments)
    page = await loaders.page.load(((children, window), parent))
    return connection(page, node, partial(loaders.count.load, (children, parent)))


# ---------------------------------------------------------------- topology


@strawberry.type
class Observed(Node):
    """What networks, sites and links share."""

    @paged(10, description="Newest first.")
    @needs("id")
    async def anomalies(
        self, info: Info, filter: AnomalyFilter | None = None, first: int | None = None, after: str | None = None
    ) -> Connection["Anomaly"]:
        kind = TargetKind(type(self).__name__.upper())
        window, wanted = Window(first, after), filter_of(filter)
        return await children_of(info, Anomaly, anomalies.build_listing_of_kind, self.row.id, window, kind, wanted)


@strawberry.type
class Measured(Observed):
    """What networks and sites share; a link is measured in each direction."""

    @series(metrics=7)
    @needs("id")
    async def series(
        self, info: Info, metrics: Metrics = None, window: TimeWindow | None = None, max_points: MaxPoints = 1000
    ) -> MetricSeries:
        return await series_of(self, info, "", metrics, window, max_points)

    @strawberry.field(directives=[QUERIED])
    @needs("id")
    async def statistics(
        self, info: Info, metrics: Metrics = None, window: TimeWindow | None = None
    ) -> list[MetricStatistics]:
        return await statistics_of(self, info, "", metrics, window)


@strawberry.type(description="satellite ─ transponder ─ network ─ link ─ remote site.")
class Satellite(Node):
    name: str
    longitude: float | None = strawberry.field(description="Degrees east.")

    @paged(10)
    @needs("id")
    async def networks(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Network"]:
        return await children_of(info, Network, topology.satellite_networks, self.row.id, Window(first, after))


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
    @needs("id")
    async def networks(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Network"]:
        return await children_of(info, Network, topology.site_networks, self.row.id, Window(first, after))

    @paged(20, description="A remote's own; a hub's are those of its networks.")
    @needs("id")
    async def links(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Link"]:
        return await children_of(info, Link, topology.site_links, self.row.id, Window(first, after))


@strawberry.type(description="One hub chain's carriers on one transponder, and the links on them.")
class Network(Measured):
    number: int = strawberry.field(description="The operator's own number.")
    name: str
    transponder: str | None
    band: Band

    hub = related(Site, tables.Site, by="hub_id")
    satellite = related(Satellite, tables.Satellite, by="satellite_id")

    @paged(50)
    @needs("id")
    async def links(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Link"]:
        return await children_of(info, Link, topology.network_links, self.row.id, Window(first, after))


@strawberry.type(description="One remote's pair of directions.")
class Link(Observed):
    number: int = strawberry.field(description="The operator's own number.")
    name: str

    network = related(Network, tables.Network, by="network_id")
    site = related(Site, tables.Site, by="site_id")

    @strawberry.field(
        description="The latest quality grade of a direction, 0 (dead) to 10 (perfect); below 7.0 is critical."
    )
    @needs("id")
    async def grade(self, info: Info, direction: Direction) -> float | None:
        return await info.context.loaders.grade.load((self.row.id, direction.value))

    @series(metrics=12)
    @needs("id")
    async def series(
        self,
        info: Info,
        direction: Direction,
        metrics: Metrics = None,
        window: TimeWindow | None = None,
        max_points: MaxPoints = 1000,
    ) -> MetricSeries:
        return await series_of(self, info, direction, metrics, window, max_points)

    @strawberry.field(directives=[QUERIED])
    @needs("id")
    async def statistics(
        self, info: Info, direction: Direction, metrics: Metrics = None, window: TimeWindow | None = None
    ) -> list[MetricStatistics]:
        return await statistics_of(self, info, direction, metrics, window)


Target = Annotated[Network | Site | Link, strawberry.union("Target", description="What samples are measured on.")]
TARGETS: dict[TargetKind, type[tables.Table]] = {
    TargetKind.NETWORK: tables.Network,
    TargetKind.SITE: tables.Site,
    TargetKind.LINK: tables.Link,
}


def target_of(node: Node) -> Pointer:
    """Of an anomaly or a detection."""
    return TARGETS[node.row.kind], node.row.target_id


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

    by = pointing(
        User | None, lambda entry: (tables.User, entry.by_id), description="Null where the server did it by itself."
    )


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

    target = pointing(Target, target_of, needs=("kind", "target_id"))

    @strawberry.field(description="Of its worst moment, largest first.", directives=[sized(12)])
    @needs("contributions")
    def contributions(self) -> list[Contribution]:
        return [Contribution.of(kept) for kept in self.row.contributions]

    analysis = related(
        Annotated["CorrelationAnalysis", strawberry.lazy("schema.root_causes")] | None,
        analysis_tables.CorrelationAnalysis,
        by="analysis_id",
        description="That ran by itself as this and others opened together, where it explains this.",
    )
    acknowledged_by = related(User | None, tables.User, by="acknowledged_by_id")

    @strawberry.field(description="Everything that happened to it, oldest first.", directives=[sized(10)])
    @needs("id")
    async def history(self, info: Info) -> list[AuditEntry]:
        return await history_of(info, self.row.id)

    @paged(7, description="The present ones, best first: see `recommend`.")
    @needs("id")
    async def recommendations(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection[Annotated["Recommendation", strawberry.lazy("schema.recommendations")]]:
        from schema.recommendations import Recommendation  # noqa: PLC0415  which knows this module

        return await children_of(info, Recommendation, recommendations.of_anomalies, self.row.id, Window(first, after))


@strawberry.type(description="The verdict on one set of measurements that somebody asked for; kept for the record.")
class Detection(Node):
    kind: TargetKind
    is_anomaly: bool
    anomaly_score: float = strawberry.field(description="-1 (ordinary) to 1 (extreme); above 0 exactly when isAnomaly.")
    confidence: float = strawberry.field(description="The calibrated probability, 0 to 1, that this is a real anomaly.")
    model_version: str
    created_at: datetime

    target = pointing(
        Target | None,
        target_of,
        needs=("kind", "target_id"),
        description="Null where the fleet's history was asked.",
    )

    @strawberry.field(directives=[sized(12)])
    @needs("contributions")
    def contributions(self) -> list[Contribution]:
        return [Contribution.of(kept) for kept in self.row.contributions]

    requested_by = related(User | None, tables.User, by="requested_by_id")
    anomaly = related(
        Anomaly | None,
        tables.Anomaly,
        by="anomaly_id",
        description="The one that it opened, or that was open already.",
    )


@strawberry.type
class AnomalyEvent:
    cursor: str = strawberry.field(description="Pass it as `after` to resume behind this event.")
    change: AnomalyChange
    key: strawberry.Private[UUID]

    anomaly = pointing(
        Anomaly, lambda event: (tables.Anomaly, event.key), description="As it is when the event arrives."
    )


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
