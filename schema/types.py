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

    @paged(10, description="Anomalies of this target. Newest first.")
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

    @series(metrics=7, description="Metrics over time. All of them by default.")
    @needs("id")
    async def series(
        self, info: Info, metrics: Metrics = None, window: TimeWindow | None = None, max_points: MaxPoints = 1000
    ) -> MetricSeries:
        return await series_of(self, info, "", metrics, window, max_points)

    @strawberry.field(
        description="Metrics over a window, one entry for each. All of them by default.", directives=[QUERIED]
    )
    @needs("id")
    async def statistics(
        self, info: Info, metrics: Metrics = None, window: TimeWindow | None = None
    ) -> list[MetricStatistics]:
        return await statistics_of(self, info, "", metrics, window)


@strawberry.type(description="A satellite. Its transponders carry networks.")
class Satellite(Node):
    name: str
    longitude: float | None = strawberry.field(description="Orbital position in degrees east. Null if unknown.")

    @paged(10, description="The networks on this satellite, by number.")
    @needs("id")
    async def networks(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Network"]:
        return await children_of(info, Network, topology.satellite_networks, self.row.id, Window(first, after))


@strawberry.type(description="A hub, whose antenna serves networks, or a remote, where links end.")
class Site(Measured):
    number: int = strawberry.field(description="Your own number of the site.")
    name: str
    role: SiteRole
    latitude: float | None = strawberry.field(description="Degrees north. Null if unknown.")
    longitude: float | None = strawberry.field(description="Degrees east. Null if unknown.")
    antenna_diameter_m: float | None = strawberry.field(description="In meters. Null if unknown.")
    mobile: bool = strawberry.field(description="True if the site moves, such as a ship.")

    @paged(5, description="The networks that a hub's antenna serves, or that a remote has links in. By number.")
    @needs("id")
    async def networks(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Network"]:
        return await children_of(info, Network, topology.site_networks, self.row.id, Window(first, after))

    @paged(20, description="The links of a remote, or of all networks of a hub. By number.")
    @needs("id")
    async def links(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Link"]:
        return await children_of(info, Link, topology.site_links, self.row.id, Window(first, after))


@strawberry.type(description="The carriers of one hub chain on one transponder, and the links on them.")
class Network(Measured):
    number: int = strawberry.field(description="Your own number of the network.")
    name: str
    transponder: str | None = strawberry.field(description="The name of its transponder. Null if unknown.")
    band: Band

    hub = related(Site, tables.Site, by="hub_id", description="The site whose antenna serves the network.")
    satellite = related(Satellite, tables.Satellite, by="satellite_id")

    @paged(50, description="The links of the network, by number.")
    @needs("id")
    async def links(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Link"]:
        return await children_of(info, Link, topology.network_links, self.row.id, Window(first, after))


@strawberry.type(description="The connection of one remote to the hub of its network, in both directions.")
class Link(Observed):
    number: int = strawberry.field(description="Your own number of the link.")
    name: str

    network = related(Network, tables.Network, by="network_id")
    site = related(Site, tables.Site, by="site_id", description="The remote at the end of the link.")

    @strawberry.field(
        description="The latest quality grade of a direction, 0 (dead) to 10 (perfect); below 7 is critical. Null if"
        " none was recorded."
    )
    @needs("id")
    async def grade(self, info: Info, direction: Direction) -> float | None:
        return await info.context.loaders.grade.load((self.row.id, direction.value))

    @series(metrics=12, description="Metrics of one direction over time. All of them by default.")
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

    @strawberry.field(
        description="Metrics of one direction over a window, one entry for each. All of them by default.",
        directives=[QUERIED],
    )
    @needs("id")
    async def statistics(
        self, info: Info, direction: Direction, metrics: Metrics = None, window: TimeWindow | None = None
    ) -> list[MetricStatistics]:
        return await statistics_of(self, info, direction, metrics, window)


Target = Annotated[
    Network | Site | Link,
    strawberry.union("Target", description="What samples are measured on and anomalies are detected on."),
]
TARGETS: dict[TargetKind, type[tables.Table]] = {
    TargetKind.NETWORK: tables.Network,
    TargetKind.SITE: tables.Site,
    TargetKind.LINK: tables.Link,
}


def target_of(node: Node) -> Pointer:
    """Of an anomaly or a detection."""
    return TARGETS[node.row.kind], node.row.target_id


# ---------------------------------------------------------------- detection


@strawberry.type(description="What one metric contributed to the score.")
class Contribution:
    metric: Metric
    observed: float | None = strawberry.field(description="The measured value. Null if it was not measured.")
    expected: float | None = strawberry.field(description="The usual value at that time. Null if there is none.")
    deviation: float = strawberry.field(
        description="How far the observed value is above (positive) or below the expected one, in robust standard"
        " deviations."
    )
    share: float = strawberry.field(description="Its part of the score, 0 to 1. All shares sum to 1.")

    @classmethod
    def of(cls, kept: dict[str, Any]) -> "Contribution":
        return cls(**{**kept, "metric": Metric(kept["metric"])})


@strawberry.type(description="An entry of a history: who did what, and when. It never changes.")
class AuditEntry:
    at: datetime
    action: str = strawberry.field(description="What was done, such as `ACKNOWLEDGED` or `JUDGED: TRUE_ALARM`.")
    note: str | None = strawberry.field(description="The note that was given, if any.")
    by_id: strawberry.Private[int | None]

    by = pointing(
        User | None, lambda entry: (tables.User, entry.by_id), description="Null if the server did it on its own."
    )


async def history_of(info: Info, subject: UUID) -> list[AuditEntry]:
    """Of an anomaly or a recommendation."""
    entries = await info.context.loaders.history.load(subject)
    return [AuditEntry(at=e.at, action=e.action, note=e.note, by_id=e.by_id) for e in entries]


@strawberry.type(
    description="A time during which a network, site or link did not behave as usual. Recorded metrics open and end"
    " it; `detect…Anomaly` can open one too."
)
class Anomaly(Node):
    kind: TargetKind
    direction: Direction | None = strawberry.field(
        description="The direction of a link, if known. Null for a network or a site."
    )
    status: AnomalyStatus
    severity: Severity
    score: float = strawberry.field(description="The highest anomaly score so far, above 0 and at most 1.")
    confidence: float = strawberry.field(description="The calibrated probability, 0 to 1, that it is a real fault.")
    model_version: str = strawberry.field(description="The version of the detection model that opened it.")
    started_at: datetime = strawberry.field(description="The time of its first anomalous sample.")
    last_seen_at: datetime = strawberry.field(description="The time of its newest anomalous sample.")
    ended_at: datetime | None = strawberry.field(description="Null while it lasts.")
    detected_at: datetime = strawberry.field(description="When the server noticed it.")
    feedback: Verdict | None = strawberry.field(description="The latest verdict of `judgeAnomaly`. Null if none.")

    target = pointing(Target, target_of, needs=("kind", "target_id"))

    @strawberry.field(
        description="What each metric contributed to the highest score. Largest share first.", directives=[sized(12)]
    )
    @needs("contributions")
    def contributions(self) -> list[Contribution]:
        return [Contribution.of(kept) for kept in self.row.contributions]

    analysis = related(
        Annotated["CorrelationAnalysis", strawberry.lazy("schema.root_causes")] | None,
        analysis_tables.CorrelationAnalysis,
        by="analysis_id",
        description="The automatic analysis that explains this anomaly, if any.",
    )
    acknowledged_by = related(
        User | None, tables.User, by="acknowledged_by_id", description="Null if nobody acknowledged it."
    )

    @strawberry.field(description="Everything that happened to it. Oldest first.", directives=[sized(10)])
    @needs("id")
    async def history(self, info: Info) -> list[AuditEntry]:
        return await history_of(info, self.row.id)

    @paged(7, description="The current recommendations, best first. `recommend` makes them.")
    @needs("id")
    async def recommendations(
        self, info: Info, first: int | None = None, after: str | None = None
    ) -> Connection[Annotated["Recommendation", strawberry.lazy("schema.recommendations")]]:
        from schema.recommendations import Recommendation  # noqa: PLC0415  which knows this module

        return await children_of(info, Recommendation, recommendations.of_anomalies, self.row.id, Window(first, after))


@strawberry.type(description="The result of `detect…Anomaly`: whether one set of measurements is anomalous.")
class Detection(Node):
    kind: TargetKind
    is_anomaly: bool
    anomaly_score: float = strawberry.field(
        description="-1 (usual) to 1 (extreme). Above 0 if, and only if, `isAnomaly` is true."
    )
    confidence: float = strawberry.field(description="The calibrated probability, 0 to 1, that it is a real fault.")
    model_version: str = strawberry.field(description="The version of the detection model that was used.")
    created_at: datetime

    target = pointing(
        Target | None,
        target_of,
        needs=("kind", "target_id"),
        description="The network, site or link that was measured. Null if none was given.",
    )

    @strawberry.field(
        description="What each metric contributed to the score. Largest share first.", directives=[sized(12)]
    )
    @needs("contributions")
    def contributions(self) -> list[Contribution]:
        return [Contribution.of(kept) for kept in self.row.contributions]

    requested_by = related(
        User | None, tables.User, by="requested_by_id", description="Who asked for it. Null if the server did."
    )
    anomaly = related(
        Anomaly | None,
        tables.Anomaly,
        by="anomaly_id",
        description="The anomaly that it opened, or that was open already. Null if there is none.",
    )


@strawberry.type(description="Something happened to an anomaly.")
class AnomalyEvent:
    cursor: str = strawberry.field(description="Pass it as `after` to resume after this event.")
    change: AnomalyChange
    key: strawberry.Private[UUID]

    anomaly = pointing(
        Anomaly,
        lambda event: (tables.Anomaly, event.key),
        description="The anomaly in its current state, which may be newer than the event.",
    )


@strawberry.type(description="New samples of one direction of a link, as they were recorded.")
class LinkMetricsEvent:
    link: Link
    direction: Direction
    series: MetricSeries


# ---------------------------------------------------------------- what mutations report


@strawberry.type(description="How many objects were created or updated.")
class Topology:
    satellites: int
    sites: int
    networks: int
    links: int


@strawberry.type(description="A sample that was not stored.")
class RejectedSample:
    row: int = strawberry.field(description="Its position in the input, from 0.")
    reason: str = strawberry.field(description="What is wrong with it.")


@strawberry.type(description="What became of the samples that were sent. Sending them again is safe.")
class RecordedMetrics:
    accepted: int = strawberry.field(description="The number of samples that are now stored and scored.")
    duplicates: int = strawberry.field(
        description="The number of samples with a target, direction and time that is already stored. The stored sample"
        " stays as it is."
    )
    rejected_count: int = strawberry.field(
        description="The number of samples that were not stored, for example because their target is unknown, a value"
        " is impossible, or their time is more than 5 minutes ahead."
    )
    rejected: list[RejectedSample] = strawberry.field(
        description="The first 100 samples that were not stored, and why."
    )
    anomalies: list[Anomaly] = strawberry.field(description="Anomalies that these samples opened, extended or ended.")
