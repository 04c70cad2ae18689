"""What clients send to change the topology."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar, cast

import strawberry

from resolvers.base.errors import to_camel_case
from resolvers.fleet import topology
from schema.directives import Constraint
from schema.enums import Band, SiteRole
from schema.input_mappings import keep_mappings

OF_FLEET = Constraint(max_items=topology.LARGEST_TOPOLOGY)
Spec = TypeVar("Spec")


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
    symbol_rate_ksps: float | None = strawberry.field(
        default=None, description="Of its outbound carrier, in ksym/s, if it is constant and known."
    )


@strawberry.input(description="A link, identified by its number.")
class LinkInput:
    number: int = strawberry.field(description="Your own number of the link.")
    name: str
    network: int = strawberry.field(description="The number of its network.")
    site: int = strawberry.field(description="The number of its remote, a site with the role REMOTE.")
    beam: str | None = strawberry.field(
        default=None, description="The name of the satellite's beam that its remote is in, if it stays in one."
    )


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


keep_mappings(TopologyInput)


def build_topology_spec(input: object) -> topology.TopologySpec:
    """Returns what a `TopologyInput` asks for. Null means the default. Slow: it may be a whole fleet."""
    given = cast("Mapping[str, Any]", input)  # as GraphQL has it
    return topology.TopologySpec(
        _build_specs(topology.SatelliteSpec, given["satellites"]),
        _build_specs(topology.SiteSpec, given["sites"]),
        _build_specs(topology.NetworkSpec, given["networks"]),
        _build_specs(topology.LinkSpec, given["links"]),
    )


def _build_specs(of: type[Spec], entries: Sequence[Mapping[str, Any]] | None) -> list[Spec]:
    names = {to_camel_case(field.name): field.name for field in fields(cast("Any", of))}
    return [of(**{names[name]: value for name, value in one.items() if value is not None}) for one in entries or ()]
