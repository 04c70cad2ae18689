"""Changes of incidents: recorded in their timeline, and published to subscribers."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import and_, case, null, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import TargetKind
from resolvers.store.events.log import Event, publish
from resolvers.store.postgres.conditions import is_among
from resolvers.store.tables.core import Anomaly, AuditEntry, Link, Network
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
    details: str | None = None,
) -> None:
    """Adds to the incident's timeline. by: the user, None for the server itself. details: what exactly was done."""
    incident.last_changed_at = now
    entry = {"by_id": by, "action": change, "note": note, "details": details}
    session.add(AuditEntry(subject_id=incident.id, at=now, **entry))


async def publish_changes(session: AsyncSession, changed: Sequence[tuple[IncidentChange, Incident]]) -> None:
    """Publishes what happened to incidents; they, their links and their anomalies must have been flushed.

    But not of historical ones, nor before an incident is announced: its OPENED is the first that anybody hears.
    """
    told = [(change, incident) for change, incident in changed if incident.announced_at and not incident.is_historical]
    scopes = await load_scopes(session, {incident.id for _, incident in told})
    for change, incident in told:
        publish(session, Event(TOPIC, change, str(incident.id), _build_facts(incident, scopes[incident.id])))


async def load_scopes(session: AsyncSession, incidents: set[UUID]) -> dict[UUID, dict[str, list[int]]]:
    """Returns the keys of what each incident touches: its LINKs, and the NETWORKs, SITEs and SATELLITEs they need.

    Networks and sites with anomalies are among them, whether they have links or not.
    """
    scopes: dict[UUID, dict[str, set[int]]] = {
        id: {"LINK": set(), "NETWORK": set(), "SITE": set(), "SATELLITE": set()} for id in incidents
    }
    for incident, *keys in (await session.execute(_select_touched(incidents))).all():
        for kind, key in zip(("LINK", "SITE", "NETWORK", "SITE", "SATELLITE"), keys, strict=True):
            if key is not None:
                scopes[incident][kind].add(key)
    return {id: {kind: sorted(keys) for kind, keys in scope.items()} for id, scope in scopes.items()}


def _select_touched(incidents: set[UUID]) -> Any:
    """Returns a query for an incident, and a link, its site, a network, its hub and its satellite, null where none."""
    above = (Network.id, Network.hub_id, Network.satellite_id)
    through_links = (
        select(IncidentLink.incident_id, Link.id, Link.site_id, *above)
        .join(Link, Link.id == IncidentLink.link_id)
        .join(Network, Network.id == Link.network_id)
        .where(is_among(IncidentLink.incident_id, incidents))
    )
    is_site = Anomaly.kind == TargetKind.SITE
    site = case((is_site, Anomaly.target_id))
    through_targets = (
        select(Anomaly.incident_id, null(), site, *above)
        .join(Network, and_(~is_site, Network.id == Anomaly.target_id), isouter=True)
        .where(is_among(Anomaly.incident_id, incidents), Anomaly.kind != TargetKind.LINK)
    )
    return union(through_links, through_targets)


def _build_facts(incident: Incident, scope: dict[str, list[int]]) -> dict[str, Any]:
    """Returns what filters of subscriptions match on, as of now."""
    kind, key = incident.culprit_kind, incident.culprit_id
    if kind is not None and key is not None and key not in scope[kind]:
        scope[kind].append(key)
    return {
        "kind": incident.kind,
        "status": incident.status,
        "severity": incident.severity.rank,
        "root_cause": incident.root_cause,
        "culprit": kind and [kind, key],
        "owner_id": incident.owner_id,
        "snoozed_until": incident.snoozed_until and incident.snoozed_until.isoformat(),
        "started_at": incident.started_at.isoformat(),
        "ended_at": incident.ended_at and incident.ended_at.isoformat(),
        "last_changed_at": incident.last_changed_at.isoformat(),
        "within": scope,
    }
