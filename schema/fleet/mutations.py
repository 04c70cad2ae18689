"""Mutations of the topology."""

import asyncio
from typing import Annotated

import strawberry

from resolvers.fleet import topology
from schema.enums import Role
from schema.fleet.inputs import TopologyInput, build_topology_spec
from schema.fleet.types import Topology
from schema.problems import Forbidden, InvalidInput
from schema.relay import Info
from schema.root_fields import mutation

TopologyResult = Annotated[Topology | InvalidInput | Forbidden, strawberry.union("TopologyResult")]


@strawberry.type
class FleetMutations:
    @mutation(
        Role.ADMIN,
        description="For admins. Creates or updates satellites, sites, networks and links. Nothing changes if any"
        " entry is invalid.",
    )
    async def upsert_topology(self, info: Info, input: TopologyInput) -> TopologyResult:
        spec = await asyncio.to_thread(build_topology_spec, input)
        return Topology(**vars(await topology.upsert(info.context, spec)))
