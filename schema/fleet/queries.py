"""Queries of the fleet."""

import strawberry

from resolvers.fleet import topology
from resolvers.lists.pagination import Window
from resolvers.store.tables import core as tables
from schema.connections import Connection, page_to_connection
from schema.directives import Name, Search, connection_size
from schema.enums import Role, SiteRole
from schema.fleet.types import Link, Network, Satellite, Site
from schema.relay import Info
from schema.root_fields import query

SEARCH = "`search` finds a part of the name, or the beginning of the number."


@strawberry.type
class FleetQueries:
    @query(Role.VIEWER, connection_size(10), description="All satellites, by name.")
    async def satellites(self, info: Info, first: int | None = None, after: str | None = None) -> Connection[Satellite]:
        listing = topology.satellites()
        page = await topology.list_rows(info.context, listing, Window(first, after))
        return page_to_connection(info, Satellite, listing, page)

    @query(Role.VIEWER, description="A satellite by its name. Null if there is none.")
    async def satellite(self, info: Info, name: Name) -> Satellite | None:
        return Satellite.from_optional_row(await topology.find(info.context, tables.Satellite, name=name))

    @query(Role.VIEWER, connection_size(), description=f"Sites, by number. {SEARCH}")
    async def sites(
        self,
        info: Info,
        role: SiteRole | None = None,
        search: Search = None,
        first: int | None = None,
        after: str | None = None,
    ) -> Connection[Site]:
        listing = topology.sites(role, search)
        page = await topology.list_rows(info.context, listing, Window(first, after))
        return page_to_connection(info, Site, listing, page)

    @query(Role.VIEWER, description="A site by your own number. Null if there is none.")
    async def site(self, info: Info, number: int) -> Site | None:
        return Site.from_optional_row(await topology.find(info.context, tables.Site, number=number))

    @query(Role.VIEWER, connection_size(20), description=f"Networks, by number. {SEARCH}")
    async def networks(
        self, info: Info, search: Search = None, first: int | None = None, after: str | None = None
    ) -> Connection[Network]:
        listing = topology.networks(search)
        page = await topology.list_rows(info.context, listing, Window(first, after))
        return page_to_connection(info, Network, listing, page)

    @query(Role.VIEWER, description="A network by your own number. Null if there is none.")
    async def network(self, info: Info, number: int) -> Network | None:
        return Network.from_optional_row(await topology.find(info.context, tables.Network, number=number))

    @query(Role.VIEWER, connection_size(), description=f"Links, by number. {SEARCH}")
    async def links(
        self, info: Info, search: Search = None, first: int | None = None, after: str | None = None
    ) -> Connection[Link]:
        listing = topology.links(search)
        page = await topology.list_rows(info.context, listing, Window(first, after))
        return page_to_connection(info, Link, listing, page)

    @query(Role.VIEWER, description="A link by your own number. Null if there is none.")
    async def link(self, info: Info, number: int) -> Link | None:
        return Link.from_optional_row(await topology.find(info.context, tables.Link, number=number))
