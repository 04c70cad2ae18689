"""Which incidents need recommendations, or need them closed: what is due follows from rows alone."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Select, String, and_, cast, func, literal_column, or_, select

from resolvers.store.tables.incidents import Incident, IncidentStatus

_IS_EXPLAINED: Final = or_(Incident.pattern.is_not(None), Incident.root_cause.is_not(None))
_PARTS: Final[tuple[Any, ...]] = (
    Incident.root_cause,
    Incident.culprit_kind,
    Incident.culprit_id,
    Incident.culprit_transponder,
    Incident.analysis_id,
    func.round(Incident.confidence * 10),
    Incident.severity,
    func.round(func.log(func.greatest(1, Incident.affected_link_count)) * 3),  # about each time it has doubled
    or_(_IS_EXPLAINED, Incident.due_at.is_(None)),  # else its analysis is still to come
)
# What the recommendations depend on, in one text. Small columns only, since the worker compares it for all open ones.
STATE: Final[ColumnElement[str]] = func.concat_ws(
    literal_column("'|'"), *(func.coalesce(cast(part, String), literal_column("'-'")) for part in _PARTS)
)
# Written out, not bound: only so does PostgreSQL see that the partial index holds them.
_IS_OPEN: Final = and_(
    literal_column("incidents.status <> 'RESOLVED'"), Incident.ended_at.is_(None), Incident.is_historical.is_(False)
)


def select_due() -> Select[Any]:
    """Selects the ids of announced incidents whose recommendations are for another state, or were never made."""
    due = (_IS_OPEN, Incident.announced_at.is_not(None), Incident.advised_for.is_distinct_from(STATE))
    return select(Incident.id).where(*due).order_by(Incident.severity.desc(), Incident.id)


def select_to_close() -> Select[Any]:
    """Selects incidents that are over and whose recommendations still stand."""
    return select(Incident).where(Incident.advised_for.is_not(None), ~_IS_OPEN).order_by(Incident.id)


def is_open(incident: Incident) -> bool:
    """Whether the server recommends anything for the incident by itself."""
    return incident.status is not IncidentStatus.RESOLVED and incident.ended_at is None and not incident.is_historical
