"""Changes of incidents: recorded in their timeline, and published to subscribers."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.store.events.log import Event, publish
from resolvers.store.postgres.conditions import is_among
from resolvers.store.tables.core import AuditEntry, Link, Network
from resolvers.store.tables.incidents import Incident, IncidentLink

TOPIC: Final = "incident"


class IncidentChange(StrEnum):
    OPENED = "OPENED"
    UPDATED = "UPDATED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    ASSIGNED = "ASSIGNED"
    COMMENTED = "COMMENTED"
    SNOOZED = "SNOOZED"
    MITIGATED = "MITIGATED"
    RESOLVED = "RESOLVED"
    REOPENED = "REOPENED"
    MERGED = "MERGED"
    SPLIT = "SPLIT"


def record_change(
    session: AsyncSession,
    incident: Incident,
    change: IncidentChange,
    now: datetime,
    by: int | None = None,
    note: str | None = None,
) -> None:
    """Adds to the incident's timeline. by: the user, None for the server itself."""
    incident.last_changed_at = now
    session.add(AuditEntry(subject_id=incident.id, by_id=by, action=change, note=note, at=now))


async def publish_changes(session: AsyncSession, changed: Sequence[tuple[IncidentChange, Incident]]) -> None:
    """Publishes what happened to incidents, but of historical ones; they and their links must have been flushed."""
    told = [(change, incident) for change, incident in changed if not incident.is_historical]
    scopes = await load_scopes(session, {incident.id for _, incident in told})
    for change, incident in told:
        publish(session, Event(TOPIC, change, str(incident.id), _build_facts(incident, scopes[incident.id])))


async def load_scopes(session: AsyncSession, incidents: set[UUID]) -> dict[UUID, dict[str, list[int]]]:
    """Returns the keys of what each incident touches: its LINKs, and the NETWORKs, SITEs and SATELLITEs they need."""
    query = (
        select(IncidentLink.incident_id, Link.id, Link.site_id, Network.id, Network.hub_id, Network.satellite_id)
        .join(Link, Link.id == IncidentLink.link_id)
        .join(Network, Network.id == Link.network_id)
        .where(is_among(IncidentLink.incident_id, incidents))
    )
    scopes: dict[UUID, dict[str, set[int]]] = {
        id: {"LINK": set(), "NETWORK": set(), "SITE": set(), "SATELLITE": set()} for id in incidents
    }
    for incident, link, site, network, hub, satellite in (await session.execute(query)).all():
        scope = scopes[incident]
        scope["LINK"].add(link)
        scope["NETWORK"].add(network)
        scope["SITE"].update((site, hub))
        scope["SATELLITE"].add(satellite)
    return {id: {kind: sorted(keys) for kind, keys in scope.items()} for id, scope in scopes.items()}


def _build_facts(incident: Incident, scope: dict[str, list[int]]) -> dict[str, Any]:
    """Returns what filters of subscriptions match on, as of now."""
    if incident.culprit_kind is not None and incident.culprit_id not in scope[incident.culprit_kind]:
        scope[incident.culprit_kind].append(incident.culprit_id)  # type: ignore[arg-type]
    return {
        "kind": incident.kind,
        "status": incident.status,
        "severity": incident.severity.rank,
        "root_cause": incident.root_cause,
        "owner_id": incident.owner_id,
        "snoozed_until": incident.snoozed_until and incident.snoozed_until.isoformat(),
        "started_at": incident.started_at.isoformat(),
        "ended_at": incident.ended_at and incident.ended_at.isoformat(),
        "within": scope,
    }
