"""What clients can ask."""

from asyncio import gather
from functools import partial
from typing import Any, TypeVar

import strawberry
from strawberry import ID

from ml.catalogue.metrics import TargetKind
from resolvers.accounts import api_keys, users
from resolvers.detection import anomalies, sensitivity
from resolvers.detection import on_request as detection
from resolvers.fleet import topology
from resolvers.lists.listings import Listing
from resolvers.lists.pagination import DEFAULT_PAGE, Page, Window, count
from resolvers.models import export as model_files
from resolvers.models import models, training
from resolvers.nodes import load
from resolvers.recommendations import recommendations
from resolvers.root_causes import analyses as correlation
from resolvers.store.tables import core as tables
from schema.accounts import ApiKey, User
from schema.directives import Name, Search, page, sized
from schema.enums import AnalysisScope, AnomalyOrder, Role, SiteRole
from schema.inputs import AnomalyFilter, filter_of
from schema.models import EXPORTED, Model, ModelExport, ModelVersion, Sensitivity
from schema.recommendations import Recommendation, RecommendationFilter
from schema.recommendations import filter_of as recommendation_filter
from schema.relay import Connection, Info, Node, connection, parse_id
from schema.root_causes import CorrelationAnalysis
from schema.root_fields import ANYBODY, query
from schema.training import TrainingRun
from schema.types import Anomaly, Detection, Link, Network, Satellite, Site

SEARCH = "`search` finds a part of the name, or the beginning of the number."
T = TypeVar("T", bound=Node)
NODES: dict[str, type[Node]] = {
    node.__name__: node
    for node in (
        User,
        ApiKey,
        Satellite,
        Site,
        Network,
        Link,
        Anomaly,
        Detection,
        CorrelationAnalysis,
        Recommendation,
        Model,
        ModelVersion,
        TrainingRun,
    )
}


def _paged(info: Info, node: type[T], listing: Listing[Any], page: Page[Any]) -> Connection[T]:
    return connection(page, node, partial(_count, info, listing))


async def _count(info: Info, listing: Listing[Any]) -> int:
    async with info.context.reading():
        return await count(info.context.database, listing)


async def _node(info: Info, id: ID) -> Node | None:
    try:
        type_name, key = parse_id(id)
    except ValueError:
        type_name = key = ""  # no type's name: access comes first
    row = await load(info.context, type_name, key)
    return None if row is None else NODES[type_name].of(row)


@strawberry.type
class Query:
    @query(ANYBODY, description="You. Null if you are not signed in.")
    async def viewer(self, info: Info) -> User | None:
        return User.maybe(await users.viewer(info.context))

    @query(Role.ADMIN, page(), description="For admins. All users, with these values if they are given.")
    async def users(
        self,
        info: Info,
        role: Role | None = None,
        is_active: bool | None = None,
        first: int | None = None,
        after: str | None = None,
    ) -> Connection[User]:
        found = await users.users(info.context, role, is_active, Window(first, after))
        return _paged(info, User, users.users_listing(role, is_active), found)

    @query(
        Role.VIEWER,
        sized(DEFAULT_PAGE, "first"),
        description="Your API keys, oldest first; admins see everybody's. `first` limits the number, 50 by default."
        " `after` is the id of the last key of the page before. An API key cannot do this.",
    )
    async def api_keys(self, info: Info, first: int | None = None, after: ID | None = None) -> list[ApiKey]:
        last_seen = None if after is None else ApiKey.key(after)
        return [ApiKey.of(key) for key in await api_keys.listed(info.context, first, last_seen)]

    @query(Role.VIEWER, description="An object by its id. Null if there is none.")
    async def node(self, info: Info, id: ID) -> Node | None:
        return await _node(info, id)

    @query(
        Role.VIEWER,
        sized(DEFAULT_PAGE, "ids"),
        description="Objects by their ids, in the same order. Null for each id that has no object.",
    )
    async def nodes(self, info: Info, ids: list[ID]) -> list[Node | None]:
        return await gather(*(_node(info, id) for id in ids))

    @query(Role.VIEWER, page(10), description="All satellites, by name.")
    async def satellites(self, info: Info, first: int | None = None, after: str | None = None) -> Connection[Satellite]:
        listing = topology.satellites()
        found = await topology.listed(info.context, listing, Window(first, after))
        return _paged(info, Satellite, listing, found)

    @query(Role.VIEWER, description="A satellite by its name. Null if there is none.")
    async def satellite(self, info: Info, name: Name) -> Satellite | None:
        return Satellite.maybe(await topology.find(info.context, tables.Satellite, name=name))

    @query(Role.VIEWER, page(), description=f"Sites, by number. {SEARCH}")
    async def sites(
        self,
        info: Info,
        role: SiteRole | None = None,
        search: Search = None,
        first: int | None = None,
        after: str | None = None,
    ) -> Connection[Site]:
        listing = topology.sites(role, search)
        found = await topology.listed(info.context, listing, Window(first, after))
        return _paged(info, Site, listing, found)

    @query(Role.VIEWER, description="A site by your own number. Null if there is none.")
    async def site(self, info: Info, number: int) -> Site | None:
        return Site.maybe(await topology.find(info.context, tables.Site, number=number))

    @query(Role.VIEWER, page(20), description=f"Networks, by number. {SEARCH}")
    async def networks(
        self, info: Info, search: Search = None, first: int | None = None, after: str | None = None
    ) -> Connection[Network]:
        listing = topology.networks(search)
        found = await topology.listed(info.context, listing, Window(first, after))
        return _paged(info, Network, listing, found)

    @query(Role.VIEWER, description="A network by your own number. Null if there is none.")
    async def network(self, info: Info, number: int) -> Network | None:
        return Network.maybe(await topology.find(info.context, tables.Network, number=number))

    @query(Role.VIEWER, page(), description=f"Links, by number. {SEARCH}")
    async def links(
        self, info: Info, search: Search = None, first: int | None = None, after: str | None = None
    ) -> Connection[Link]:
        listing = topology.links(search)
        found = await topology.listed(info.context, listing, Window(first, after))
        return _paged(info, Link, listing, found)

    @query(Role.VIEWER, description="A link by your own number. Null if there is none.")
    async def link(self, info: Info, number: int) -> Link | None:
        return Link.maybe(await topology.find(info.context, tables.Link, number=number))

    @query(Role.VIEWER, page(DEFAULT_PAGE, "last"), description="Results of `detect…Anomaly`. Newest first.")
    async def detections(
        self,
        info: Info,
        kind: TargetKind | None = None,
        is_anomaly: bool | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Detection]:
        found = await detection.list_detections(info.context, kind, is_anomaly, Window(first, after, last, before))
        return _paged(info, Detection, detection.build_listing(kind, is_anomaly), found)

    @query(Role.VIEWER, page(DEFAULT_PAGE, "last"), description="Anomalies of all networks, sites and links.")
    async def anomalies(
        self,
        info: Info,
        filter: AnomalyFilter | None = None,
        order_by: AnomalyOrder | None = AnomalyOrder.NEWEST,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Anomaly]:
        where, order = filter_of(filter), order_by or AnomalyOrder.NEWEST
        found = await anomalies.list_anomalies(info.context, where, order, Window(first, after, last, before))
        return _paged(info, Anomaly, anomalies.build_listing(where, order), found)

    @query(Role.VIEWER, page(20, "last"), description="Analyses of root causes. Newest first.")
    async def correlation_analyses(
        self,
        info: Info,
        scope: AnalysisScope | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[CorrelationAnalysis]:
        found = await correlation.listed(info.context, scope, Window(first, after, last, before))
        return _paged(info, CorrelationAnalysis, correlation.listing(scope), found)

    @query(Role.VIEWER, page(20, "last"), description="Recommendations that were made. Newest first.")
    async def recommendations(
        self,
        info: Info,
        filter: RecommendationFilter | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Recommendation]:
        where = recommendation_filter(filter)
        found = await recommendations.listed(info.context, where, Window(first, after, last, before))
        return _paged(info, Recommendation, recommendations.listing(where), found)

    @query(Role.VIEWER, sized(6), description="All models, with or without a version.")
    async def models(self, info: Info) -> list[Model]:
        return [Model.of(model) for model in await models.listed(info.context)]

    @query(Role.VIEWER, description="A model by its name. Null if there is none.")
    async def model(self, info: Info, name: Name) -> Model | None:
        return Model.maybe(await models.named(info.context, name))

    @query(Role.ADMIN, EXPORTED, description="For admins. A model version as a file.")
    async def export_model(self, info: Info, version: ID) -> ModelExport:
        return ModelExport.of(await model_files.export(info.context, ModelVersion.key(version)))

    @query(Role.VIEWER, description="How readily anomalies are reported for a kind of target.")
    async def sensitivity(self, info: Info, kind: TargetKind) -> Sensitivity:
        return Sensitivity.of(await sensitivity.get_sensitivity(info.context, kind))

    @query(Role.VIEWER, page(20, "last"), description="Trainings, finished and unfinished. Newest first.")
    async def training_runs(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[TrainingRun]:
        found = await training.listed(info.context, Window(first, after, last, before))
        return _paged(info, TrainingRun, training.listing(), found)
