"""Which incidents need recommendations, or need them closed: what is due follows from rows alone."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, String, and_, case, cast, func, literal_column, or_, select

from ml.recommendation.advice import CERTAIN
from resolvers.store.tables.incidents import LINGERS, Incident, IncidentStatus

_RIVALS: Final = [
    func.jsonb_extract_path_text(Incident.pattern, "hypotheses", place, *path)
    for place in ("0", "1")
    for path in (("cause",), ("culprit", "kind"), ("culprit", "key"))
]
_PARTS: Final[tuple[Any, ...]] = (
    Incident.root_cause,
    Incident.culprit_kind,
    Incident.culprit_id,
    Incident.culprit_transponder,
    Incident.analysis_id,
    func.round(Incident.confidence * 10),
    Incident.severity,
    func.round(func.log(func.greatest(1, Incident.affected_link_count)) * 3),  # about each time it has doubled
    # Patterns can be large: read only where the questions depend on them.
    case((Incident.confidence < CERTAIN, func.concat_ws(literal_column("','"), *_RIVALS))),
)
# What the recommendations depend on, in one text: the worker compares it for all open incidents.
STATE: Final[ColumnElement[str]] = func.concat_ws(
    literal_column("'|'"), *(func.coalesce(cast(part, String), literal_column("'-'")) for part in _PARTS)
)


def select_due(now: datetime) -> Select[Any]:
    """Selects the ids of announced incidents whose recommendations are for another state, or were never made."""
    due = (_is_open(now), Incident.announced_at.is_not(None), Incident.advised_for.is_distinct_from(STATE))
    return select(Incident.id).where(*due).order_by(Incident.severity.desc(), Incident.id)


def select_to_close(now: datetime) -> Select[Any]:
    """Selects incidents that are over and whose recommendations still stand."""
    return select(Incident).where(Incident.advised_for.is_not(None), ~_is_open(now)).order_by(Incident.id)


def _is_open(now: datetime) -> ColumnElement[bool]:
    return and_(
        # Written out, not bound: only so does PostgreSQL see that the partial index holds them.
        literal_column("incidents.status <> 'RESOLVED'"),
        or_(Incident.ended_at.is_(None), Incident.ended_at > now - LINGERS),
        Incident.is_historical.is_(False),
    )


def is_open(incident: Incident, now: datetime) -> bool:
    """Whether the server recommends anything for the incident by itself."""
    lasts = incident.ended_at is None or incident.ended_at > now - LINGERS
    return incident.status is not IncidentStatus.RESOLVED and lasts and not incident.is_historical
