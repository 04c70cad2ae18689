"""The fleet: satellites, sites, networks and links."""

from datetime import datetime
from typing import Annotated, Any

import strawberry

from ml.catalogue.metrics import TargetKind
from ml.catalogue.root_causes import CulpritKind
from resolvers.detection import anomalies
from resolvers.detection.filters import AnomalyFilter as Filter
from resolvers.fleet import topology
from resolvers.incidents import incidents
from resolvers.lists.pagination import Window
from resolvers.store.tables import core as tables
from schema.batched_fields import RowKey, needs, relation
from schema.connections import Connection, load_children
from schema.directives import QUERY_COST, MaxPoints, Metrics, connection_field, series_field
from schema.enums import Band, Direction, SiteRole
from schema.relay import Info, Node, lazy_type
from schema.telemetry.inputs import TimeWindow
from schema.telemetry.series import load_series, load_statistics
from schema.telemetry.types import MetricSeries, MetricStatistics

ANOMALY = lazy_type("Anomaly", "schema.anomalies.types")
INCIDENT = lazy_type("Incident", "schema.incidents.types")
ANOMALY_FILTER = lazy_type("AnomalyFilter", "schema.anomalies.inputs") | None
AnomalyFilter = Annotated[Any, strawberry.argument(graphql_type=ANOMALY_FILTER)]


@strawberry.type
class Fallible(Node):
    """The fields that everything shares that can be at fault."""

    @connection_field(
        10,
        graphql_type=Connection[INCIDENT],  # type: ignore[valid-type]
        description="Incidents that affect it or something below it, or that it is at fault for. Newest first.",
    )
    @needs("id")
    async def incidents(self, info: Info, first: int | None = None, after: str | None = None) -> Connection[Any]:
        kind, node = CulpritKind(type(self).__name__.upper()), Node.find_type("Incident")
        return await load_children(info, node, incidents.build_listing_of, self.row.id, Window(first, after), kind)


@strawberry.type
class Observed(Fallible):
    """The fields that networks, sites and links share."""

    @connection_field(
        10,
        graphql_type=Connection[ANOMALY],  # type: ignore[valid-type]
        description="Anomalies of this target. Newest first.",
    )
    @needs("id")
    async def anomalies(
        self, info: Info, filter: AnomalyFilter = None, first: int | None = None, after: str | None = None
    ) -> Connection[Any]:
        kind = TargetKind(type(self).__name__.upper())
        node, wanted = Node.find_type("Anomaly"), filter.to_filter() if filter else Filter()
        listing, window = anomalies.build_listing_of_kind, Window(first, after)
        return await load_children(info, node, listing, self.row.id, window, kind, wanted)


@strawberry.type
class Measured(Observed):
    """The fields that networks and sites share. A link has them per direction."""

    @series_field(metrics=7, description="Metrics over time. All that are scored by default.")
    @needs("id")
    async def series(
        self, info: Info, metrics: Metrics = None, window: TimeWindow | None = None, max_points: MaxPoints = 1000
    ) -> MetricSeries:
        return await load_series(self, info, "", metrics, window, max_points)

    @strawberry.field(
        description="Metrics over a window, one entry for each. All that are scored by default.",
        directives=[QUERY_COST],
    )
    @needs("id")
    async def statistics(
        self, info: Info, metrics: Metrics = None, window: TimeWindow | None = None
    ) -> list[MetricStatistics]:
        return await load_statistics(self, info, "", metrics, window)


@strawberry.type(description="A satellite. Its transponders carry networks.")
class Satellite(Fallible):
    name: str
    longitude: float | None = strawberry.field(description="Orbital position in degrees east. Null if unknown.")

    @connection_field(10, description="The networks on this satellite, by number.")
    @needs("id")
    async def networks(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Network"]:
        return await load_children(info, Network, topology.satellite_networks, self.row.id, Window(first, after))


@strawberry.type(description="A hub, whose antenna serves networks, or a remote, where links end.")
class Site(Measured):
    number: int = strawberry.field(description="Your own number of the site.")
    name: str
    role: SiteRole
    latitude: float | None = strawberry.field(description="Degrees north. Null if unknown.")
    longitude: float | None = strawberry.field(description="Degrees east. Null if unknown.")
    antenna_diameter_m: float | None = strawberry.field(description="In meters. Null if unknown.")
    mobile: bool = strawberry.field(description="True if the site moves, such as a ship.")

    @connection_field(
        5, description="The networks that a hub's antenna serves, or that a remote has links in. By number."
    )
    @needs("id")
    async def networks(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Network"]:
        return await load_children(info, Network, topology.site_networks, self.row.id, Window(first, after))

    @connection_field(20, description="The links of a remote, or of all networks of a hub. By number.")
    @needs("id")
    async def links(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Link"]:
        return await load_children(info, Link, topology.site_links, self.row.id, Window(first, after))


@strawberry.type(description="The carriers of one hub chain on one transponder, and the links on them.")
class Network(Measured):
    number: int = strawberry.field(description="Your own number of the network.")
    name: str
    transponder: str | None = strawberry.field(description="The name of its transponder. Null if unknown.")
    band: Band
    symbol_rate_ksps: float | None = strawberry.field(
        description="Of its outbound carrier, in ksym/s. Null if unknown, or not constant."
    )

    hub = relation(Site, tables.Site, by="hub_id", description="The site whose antenna serves the network.")
    satellite = relation(Satellite, tables.Satellite, by="satellite_id")

    @connection_field(50, description="The links of the network, by number.")
    @needs("id")
    async def links(self, info: Info, first: int | None = None, after: str | None = None) -> Connection["Link"]:
        return await load_children(info, Link, topology.network_links, self.row.id, Window(first, after))


@strawberry.type(description="The connection of one remote to the hub of its network, in both directions.")
class Link(Observed):
    number: int = strawberry.field(description="Your own number of the link.")
    name: str
    beam: str | None = strawberry.field(
        description="The name of the satellite's beam that its remote is in. Null if unknown, or if it changes; then"
        " the metric BEAM may say it."
    )

    network = relation(Network, tables.Network, by="network_id")
    site = relation(Site, tables.Site, by="site_id", description="The remote at the end of the link.")

    @strawberry.field(
        description="The latest quality grade of a direction, 0 (dead) to 10 (perfect); below 7 is critical. Null if"
        " none was recorded, or if it is older than the direction's usual pace allows: see `gradeStaleSince`."
    )
    @needs("id")
    async def grade(self, info: Info, direction: Direction) -> float | None:
        grade = await info.context.loaders.grade.load((self.row.id, direction.value))
        return None if grade is None or grade.is_stale(info.context.now) else grade.value

    @strawberry.field(
        description="When the latest quality grade of a direction was measured, stale or not. Null if none was."
    )
    @needs("id")
    async def grade_at(self, info: Info, direction: Direction) -> datetime | None:
        grade = await info.context.loaders.grade.load((self.row.id, direction.value))
        return None if grade is None else grade.at

    @strawberry.field(
        description="When the grade that should have followed the latest one of a direction was due, if so many are"
        " missing that `grade` is null. Null if `grade` is current, or none was recorded."
    )
    @needs("id")
    async def grade_stale_since(self, info: Info, direction: Direction) -> datetime | None:
        grade = await info.context.loaders.grade.load((self.row.id, direction.value))
        return grade.due_at if grade and grade.is_stale(info.context.now) else None

    @series_field(metrics=12, description="Metrics of one direction over time. All that are scored by default.")
    @needs("id")
    async def series(
        self,
        info: Info,
        direction: Direction,
        metrics: Metrics = None,
        window: TimeWindow | None = None,
        max_points: MaxPoints = 1000,
    ) -> MetricSeries:
        return await load_series(self, info, direction, metrics, window, max_points)

    @strawberry.field(
        description="Metrics of one direction over a window, one entry for each. All that are scored by default.",
        directives=[QUERY_COST],
    )
    @needs("id")
    async def statistics(
        self, info: Info, direction: Direction, metrics: Metrics = None, window: TimeWindow | None = None
    ) -> list[MetricStatistics]:
        return await load_statistics(self, info, direction, metrics, window)


Target = Annotated[
    Network | Site | Link,
    strawberry.union("Target", description="What samples are measured on and anomalies are detected on."),
]
TARGETS: dict[TargetKind, type[tables.Table]] = {
    TargetKind.NETWORK: tables.Network,
    TargetKind.SITE: tables.Site,
    TargetKind.LINK: tables.Link,
}


def get_target_key(node: Node) -> RowKey:
    """Returns the key of the target of an anomaly or a detection."""
    return TARGETS[node.row.kind], node.row.target_id


@strawberry.type(description="How many objects were created or updated.")
class Topology:
    satellites: int
    sites: int
    networks: int
    links: int
