"""What clients send to find incidents."""

from datetime import datetime

import strawberry
from strawberry import ID

from ml.catalogue.root_causes import CulpritKind
from resolvers.base.errors import InvalidInput
from resolvers.incidents.filters import IncidentFilter as Filter
from resolvers.incidents.filters import ScopeKey
from resolvers.store.postgres.identifiers import entity_key
from schema.accounts.types import User
from schema.enums import IncidentKind, IncidentStatus, RootCause, Severity
from schema.relay import parse_id

LISTS = ("statuses", "severities", "kinds", "root_causes")
SCOPES = ("culprit", "within")


@strawberry.input(description="Incidents that match all given conditions.")
class IncidentFilter:
    statuses: list[IncidentStatus] | None = strawberry.field(default=None, description="Any of these.")
    severities: list[Severity] | None = strawberry.field(default=None, description="Any of these.")
    kinds: list[IncidentKind] | None = strawberry.field(default=None, description="Any of these.")
    root_causes: list[RootCause] | None = strawberry.field(default=None, description="Any of these.")
    culprit: ID | None = strawberry.field(
        default=None, description="At fault: the id of a satellite, a site, a network or a link."
    )
    within: ID | None = strawberry.field(
        default=None,
        description="The id of a satellite, a site, a network or a link. Finds what is at fault or affected there, with"
        " everything below it.",
    )
    owner: ID | None = strawberry.field(default=None, description="The user who works on it.")
    unowned: bool | None = strawberry.field(default=None, description="True: nobody owns it. False: somebody does.")
    snoozed: bool | None = strawberry.field(default=None, description="True: snoozed at present. False: not snoozed.")
    historical: bool | None = strawberry.field(
        default=None, description="True: found in imported history. False: not in imported history."
    )
    merged: bool | None = strawberry.field(
        default=False, description="Include incidents that were merged into another one. For lists and counts only."
    )
    started_after: datetime | None = strawberry.field(default=None, description="Started at this time or later.")
    started_before: datetime | None = strawberry.field(default=None, description="Started before this time.")
    ended_after: datetime | None = strawberry.field(default=None, description="Ended at this time or later.")
    changed_after: datetime | None = strawberry.field(
        default=None, description="Last changed at this time or later. To synchronize, with `merged: true`."
    )

    def to_filter(self) -> Filter:
        given = vars(self)
        lists = {name: None if given[name] is None else tuple(given[name]) for name in LISTS}
        scopes = {name: _parse_scope(given[name], name) for name in SCOPES}
        return Filter(**given | lists | scopes | {"owner": parse_owner(self.owner), "merged": bool(self.merged)})


def to_filter(filter: IncidentFilter | None) -> Filter:
    return filter.to_filter() if filter else Filter()


def _parse_scope(id: ID | None, name: str) -> ScopeKey | None:
    if id is None:
        return None
    try:
        type_name, key = parse_id(id)
        return ScopeKey(CulpritKind(type_name.upper()), entity_key(key))
    except ValueError:
        message = f"`{name}` must be the id of a satellite, a site, a network or a link."
        raise InvalidInput(message, ["filter", name]) from None


def parse_owner(id: ID | None) -> int | None:
    """Returns the key of a user, None for nobody."""
    return None if id is None else User.parse_key(id)
