"""Filters of incidents: as conditions on rows, and as a test of an event's facts."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import ARRAY, DateTime, and_, any_, exists, or_, select
from sqlalchemy.sql import ColumnElement

from ml.catalogue.metrics import TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity
from resolvers.store.postgres.rows import parameter
from resolvers.store.tables.core import Anomaly, Link, Network
from resolvers.store.tables.incidents import Incident, IncidentKind, IncidentLink, IncidentStatus

Facts: TypeAlias = Mapping[str, Any]
Condition: TypeAlias = Callable[[], ColumnElement[bool]]

# Nobody was told of the others yet: related anomalies are still being gathered. Historical ones are told to nobody.
IS_TOLD: Final = or_(Incident.announced_at.is_not(None), Incident.is_historical)
IS_OWN: Final = Incident.merged_into_id.is_(None)


@dataclass(frozen=True)
class ScopeKey:
    """A satellite, site, network or link."""

    kind: CulpritKind
    id: int


@dataclass(frozen=True)
class IncidentFilter:
    """Passes incidents for which everything that is given holds. merged: whether to include merged ones in lists."""

    statuses: tuple[IncidentStatus, ...] | None = None
    severities: tuple[Severity, ...] | None = None
    kinds: tuple[IncidentKind, ...] | None = None
    root_causes: tuple[RootCause, ...] | None = None
    culprit: ScopeKey | None = None
    within: ScopeKey | None = None
    owner: int | None = None
    unowned: bool | None = None
    snoozed: bool | None = None
    historical: bool | None = None
    merged: bool = False
    started_after: datetime | None = None
    started_before: datetime | None = None
    ended_after: datetime | None = None
    changed_after: datetime | None = None

    def values(self, now: datetime) -> dict[str, Any]:
        """Returns what is given, by the names of the conditions and of their parameters in `build_conditions`."""
        values: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, bool):
                values[name if value else f"not {name}"] = now if name == "snoozed" else True
            elif isinstance(value, ScopeKey):
                values |= {name: value.id, f"{name} {value.kind}": value.kind}
            elif value is not None:
                values[name] = value
        return values | {"now": now}

    def build_matcher(self, clock: Callable[[], datetime]) -> Callable[[Facts], bool]:
        """Returns a test of an event's facts, as they were when it happened; what is not given costs nothing.

        A merged incident passes, as whoever followed it should hear of that.
        """
        given = {name: value for name, value in vars(self).items() if value is not None and name in _CHECKS}
        checks = [(_CHECKS[name], value) for name, value in given.items()]
        return lambda facts: all(check(value, facts, clock) for check, value in checks)


# ---------------------------------------------------------------- facts


def _read_time(facts: Facts, name: str) -> datetime | None:
    return datetime.fromisoformat(facts[name]) if facts[name] else None


def _is_from(time: datetime, facts: Facts, name: str) -> bool:
    at = _read_time(facts, name)
    return at is not None and at >= time


def _is_snoozed(facts: Facts, clock: Callable[[], datetime]) -> bool:
    until = _read_time(facts, "snoozed_until")
    return until is not None and until > clock()


Check: TypeAlias = Callable[[Any, Facts, Callable[[], datetime]], bool]
_CHECKS: Final[dict[str, Check]] = {
    "statuses": lambda given, facts, _: facts["status"] in given,
    "severities": lambda given, facts, _: facts["severity"] in {severity.rank for severity in given},
    "kinds": lambda given, facts, _: facts["kind"] in given,
    "root_causes": lambda given, facts, _: facts["root_cause"] in given,
    "culprit": lambda given, facts, _: facts["culprit"] == [given.kind, given.id],
    "within": lambda given, facts, _: given.id in facts["within"][given.kind],
    "owner": lambda given, facts, _: facts["owner_id"] == given,
    "unowned": lambda given, facts, _: (facts["owner_id"] is None) == given,
    "snoozed": lambda given, facts, clock: _is_snoozed(facts, clock) == given,
    "historical": lambda given, facts, _: not given,  # nobody is told of historical ones
    "started_after": lambda given, facts, _: _is_from(given, facts, "started_at"),
    "started_before": lambda given, facts, _: not _is_from(given, facts, "started_at"),
    "ended_after": lambda given, facts, _: _is_from(given, facts, "ended_at"),
    "changed_after": lambda given, facts, _: _is_from(given, facts, "last_changed_at"),
}


# ---------------------------------------------------------------- rows


def build_conditions(names: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    """Returns the conditions of a query over incidents that people see: those of these names."""
    return (IS_TOLD, *(condition() for name, condition in _CONDITIONS.items() if name in names))


def _is_any(name: str, column: Any) -> Condition:
    return lambda: column == any_(parameter(name, ARRAY(column.type)))


def _bind(name: str, column: Any) -> Any:
    return parameter(name, column.type)


def _is_snoozed_now() -> ColumnElement[bool]:
    return and_(Incident.snoozed_until.is_not(None), Incident.snoozed_until > parameter("now", DateTime(timezone=True)))


def _has_culprit(kind: CulpritKind, name: str) -> ColumnElement[bool]:
    return and_(Incident.culprit_kind == kind, Incident.culprit_id == _bind(name, Incident.culprit_id))


def _is_within(kind: CulpritKind) -> ColumnElement[bool]:
    """Returns whether the culprit is it, or a link or another target that is it or depends on it is affected."""
    key, at_fault = _bind("within", Link.id), _has_culprit(kind, "within")
    links = select(IncidentLink.incident_id).join(Link, Link.id == IncidentLink.link_id)
    through_network = links.join(Network, Network.id == Link.network_id)
    if kind is CulpritKind.LINK:
        return or_(at_fault, _is_in(links.where(Link.id == key)))
    if kind is CulpritKind.NETWORK:
        return or_(at_fault, _is_in(links.where(Link.network_id == key)), _is_on(TargetKind.NETWORK, key))
    if kind is CulpritKind.SATELLITE:
        networks = select(Network.id).where(Network.satellite_id == key)
        on_it = _is_in(through_network.where(Network.satellite_id == key))
        return or_(at_fault, on_it, _is_on(TargetKind.NETWORK, any_(networks.scalar_subquery())))
    served = through_network.where(or_(Link.site_id == key, Network.hub_id == key))
    networks = select(Network.id).where(Network.hub_id == key)
    behind = _is_on(TargetKind.NETWORK, any_(networks.scalar_subquery()))
    return or_(at_fault, _is_in(served), _is_on(TargetKind.SITE, key), behind)


def _is_in(incidents: Any) -> ColumnElement[bool]:
    return Incident.id.in_(incidents)


def _is_on(kind: TargetKind, key: Any) -> ColumnElement[bool]:
    own = Anomaly.incident_id == Incident.id
    return exists(select(Anomaly.id).where(own, Anomaly.kind == kind, Anomaly.target_id == key))


_CONDITIONS: Final[dict[str, Condition]] = {
    "statuses": _is_any("statuses", Incident.status),
    "severities": _is_any("severities", Incident.severity),
    "kinds": _is_any("kinds", Incident.kind),
    "root_causes": _is_any("root_causes", Incident.root_cause),
    **{f"culprit {kind}": (lambda kind=kind: _has_culprit(kind, "culprit")) for kind in CulpritKind},  # type: ignore[misc]
    **{f"within {kind}": (lambda kind=kind: _is_within(kind)) for kind in CulpritKind},  # type: ignore[misc]
    "owner": lambda: Incident.owner_id == _bind("owner", Incident.owner_id),
    "unowned": lambda: Incident.owner_id.is_(None),
    "not unowned": lambda: Incident.owner_id.is_not(None),
    "snoozed": _is_snoozed_now,
    "not snoozed": lambda: ~_is_snoozed_now(),
    "historical": lambda: Incident.is_historical.is_(True),
    "not historical": lambda: Incident.is_historical.is_(False),
    "not merged": lambda: IS_OWN,
    "started_after": lambda: Incident.started_at >= _bind("started_after", Incident.started_at),
    "started_before": lambda: Incident.started_at < _bind("started_before", Incident.started_at),
    "ended_after": lambda: Incident.ended_at >= _bind("ended_after", Incident.started_at),
    "changed_after": lambda: Incident.last_changed_at >= _bind("changed_after", Incident.last_changed_at),
}
