"""Mutations of incidents: how people work on them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import ID

from resolvers.base import errors
from resolvers.incidents import regrouping, workflow
from resolvers.incidents.workflow import LARGEST_BULK, Outcome, get_only
from schema.anomalies.types import Anomaly
from schema.directives import Comment, Constraint, ListSize, Note
from schema.enums import Role
from schema.incidents.inputs import parse_owner
from schema.incidents.types import Incident
from schema.problems import Conflict, Forbidden, InvalidInput, NotFound
from schema.relay import Info
from schema.root_fields import mutation

IncidentResult = Annotated[
    Incident | InvalidInput | NotFound | Forbidden | Conflict, strawberry.union("IncidentResult")
]
Ids = Annotated[list[ID], strawberry.argument(directives=[Constraint(max_items=LARGEST_BULK)])]
BULK = ListSize(assumed_size=50, slicing_arguments=["ids"], sized_fields=["results"])
EACH = f"In one transaction for at most {LARGEST_BULK} incidents: each succeeds or fails by itself."


@strawberry.type(description="What came of doing something to several incidents.")
class IncidentResults:
    results: list[IncidentResult] = strawberry.field(description="One for each id, in the same order.")

    @classmethod
    def from_outcomes(cls, ids: Sequence[ID], outcomes: Sequence[Outcome]) -> "IncidentResults":
        return cls(results=[_to_result(id, outcome) for id, outcome in zip(ids, outcomes, strict=True)])


def _to_result(id: ID, outcome: Outcome) -> Incident | NotFound | Conflict:
    if isinstance(outcome, errors.Conflict):
        return Conflict.from_error(outcome)
    if isinstance(outcome, errors.NotFound):
        return NotFound(message=outcome.message, id=id)
    return Incident.from_row(outcome)


IncidentsResult = Annotated[IncidentResults | InvalidInput | Forbidden, strawberry.union("IncidentsResult")]


def _key(id: ID) -> UUID:
    key: UUID = Incident.parse_key(id, UUID)
    return key


def _keys(ids: Sequence[ID]) -> list[UUID]:
    return [_key(id) for id in ids]


@strawberry.type
class IncidentMutations:
    @mutation(
        Role.OPERATOR,
        description="Takes an open incident: you become its owner, and your colleagues know that you work on it.",
    )
    async def acknowledge_incident(self, info: Info, id: ID, note: Note = None) -> IncidentResult:
        return Incident.from_row(get_only(await workflow.acknowledge(info.context, [_key(id)], note)))

    @mutation(
        Role.OPERATOR,
        description="Gives an incident to an active operator or admin: to hand it over, or to take it over yourself."
        " Null takes it from whoever has it. Anybody may do it. Its status stays.",
    )
    async def assign_incident(self, info: Info, id: ID, owner: ID | None = None, note: Note = None) -> IncidentResult:
        outcomes = await workflow.assign(info.context, [_key(id)], parse_owner(owner), note)
        return Incident.from_row(get_only(outcomes))

    @mutation(Role.OPERATOR, description="Adds a comment to the timeline of an incident, also of a resolved one.")
    async def comment_incident(self, info: Info, id: ID, note: Comment) -> IncidentResult:
        return Incident.from_row(get_only(await workflow.comment(info.context, [_key(id)], note)))

    @mutation(
        Role.OPERATOR,
        description="Snoozes an incident until a time: `incidents(filter: { snoozed: false })` leaves it out until"
        " then, for a year at most. It wakes up earlier if it gets more severe. Null wakes it up at once.",
    )
    async def snooze_incident(
        self, info: Info, id: ID, until: datetime | None = None, note: Note = None
    ) -> IncidentResult:
        return Incident.from_row(get_only(await workflow.snooze(info.context, [_key(id)], until, note)))

    @mutation(Role.OPERATOR, description="Says that an incident hurts less, but is not solved yet.")
    async def mitigate_incident(self, info: Info, id: ID, note: Note = None) -> IncidentResult:
        return Incident.from_row(get_only(await workflow.mitigate(info.context, [_key(id)], note)))

    @mutation(
        Role.OPERATOR,
        description="Ends an incident with its anomalies. It does not come back while what still misbehaves only lasts;"
        " what begins anew or clearly worsens does.",
    )
    async def resolve_incident(self, info: Info, id: ID, note: Note = None) -> IncidentResult:
        return Incident.from_row(get_only(await workflow.resolve(info.context, [_key(id)], note)))

    @mutation(
        Role.OPERATOR,
        description="Takes a resolved incident up again, with those of its anomalies that still last. It is"
        " ACKNOWLEDGED if it has an owner, else OPEN.",
    )
    async def reopen_incident(self, info: Info, id: ID, note: Note = None) -> IncidentResult:
        return Incident.from_row(get_only(await workflow.reopen(info.context, [_key(id)], note)))

    @mutation(
        Role.OPERATOR,
        description="Merges incidents that are the same fault into one of them, and returns that. Their anomalies,"
        " links and recommendations move to it; they become RESOLVED, and `mergedInto` leads to it.",
    )
    async def merge_incidents(self, info: Info, into: ID, ids: Ids, note: Note = None) -> IncidentResult:
        return Incident.from_row(await regrouping.merge(info.context, _key(into), _keys(ids), note))

    @mutation(
        Role.OPERATOR,
        description="Makes another incident of some of an incident's anomalies, as they are another fault, and returns"
        " the new one. At least one anomaly must stay.",
    )
    async def split_incident(self, info: Info, id: ID, anomalies: list[ID], note: Note = None) -> IncidentResult:
        keys = [Anomaly.parse_key(anomaly, UUID) for anomaly in anomalies]
        return Incident.from_row(await regrouping.split(info.context, _key(id), keys, note))

    # ---------------------------------------------------------------- many at once

    @mutation(Role.OPERATOR, BULK, description=f"As `acknowledgeIncident`. {EACH}")
    async def acknowledge_incidents(self, info: Info, ids: Ids, note: Note = None) -> IncidentsResult:
        return IncidentResults.from_outcomes(ids, await workflow.acknowledge(info.context, _keys(ids), note))

    @mutation(Role.OPERATOR, BULK, description=f"As `assignIncident`. {EACH}")
    async def assign_incidents(
        self, info: Info, ids: Ids, owner: ID | None = None, note: Note = None
    ) -> IncidentsResult:
        outcomes = await workflow.assign(info.context, _keys(ids), parse_owner(owner), note)
        return IncidentResults.from_outcomes(ids, outcomes)

    @mutation(Role.OPERATOR, BULK, description=f"As `commentIncident`. {EACH}")
    async def comment_incidents(self, info: Info, ids: Ids, note: Comment) -> IncidentsResult:
        return IncidentResults.from_outcomes(ids, await workflow.comment(info.context, _keys(ids), note))

    @mutation(Role.OPERATOR, BULK, description=f"As `snoozeIncident`. {EACH}")
    async def snooze_incidents(
        self, info: Info, ids: Ids, until: datetime | None = None, note: Note = None
    ) -> IncidentsResult:
        return IncidentResults.from_outcomes(ids, await workflow.snooze(info.context, _keys(ids), until, note))

    @mutation(Role.OPERATOR, BULK, description=f"As `mitigateIncident`. {EACH}")
    async def mitigate_incidents(self, info: Info, ids: Ids, note: Note = None) -> IncidentsResult:
        return IncidentResults.from_outcomes(ids, await workflow.mitigate(info.context, _keys(ids), note))

    @mutation(Role.OPERATOR, BULK, description=f"As `resolveIncident`. {EACH}")
    async def resolve_incidents(self, info: Info, ids: Ids, note: Note = None) -> IncidentsResult:
        return IncidentResults.from_outcomes(ids, await workflow.resolve(info.context, _keys(ids), note))

    @mutation(Role.OPERATOR, BULK, description=f"As `reopenIncident`. {EACH}")
    async def reopen_incidents(self, info: Info, ids: Ids, note: Note = None) -> IncidentsResult:
        return IncidentResults.from_outcomes(ids, await workflow.reopen(info.context, _keys(ids), note))
