"""Filters of anomalies: as conditions on rows, and as a test of an event's facts."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import ARRAY, BindParameter, ColumnElement, and_, any_, or_, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import TargetKind
from ml.detection.episodes import Severity
from resolvers.store.postgres.conditions import is_among
from resolvers.store.postgres.rows import parameter
from resolvers.store.tables.core import Anomaly, AnomalyStatus, Link, Network, Satellite

Facts: TypeAlias = dict[str, Any]
Value = TypeVar("Value")


@dataclass(frozen=True)
class TargetKey:
    kind: TargetKind
    id: int


@dataclass(frozen=True)
class AnomalyFilter:
    """Passes anomalies for which everything that is given holds."""

    kind: TargetKind | None = None
    statuses: tuple[AnomalyStatus, ...] | None = None
    min_severity: Severity | None = None
    min_confidence: float | None = None
    historical: bool | None = None
    target: TargetKey | None = None
    satellite: str | None = None
    started_after: datetime | None = None
    started_before: datetime | None = None

    def values(self) -> dict[str, Any]:
        """Returns what is given, by the names of the parameters in `build_conditions`."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        if self.target is not None:
            values |= {"target": self.target.id, "target_kind": self.target.kind}
        return values

    def build_matcher(self) -> Callable[[Facts], bool]:
        """Returns a test of an event's facts, as they were when it happened; what is not given costs nothing."""
        wanted = (
            _make_check(self.kind, lambda kind, facts: facts["kind"] == kind),
            _make_check(self.statuses, lambda statuses, facts: facts["status"] in statuses),
            _make_check(self.min_severity, lambda least, facts: facts["severity"] >= least.rank),
            _make_check(self.min_confidence, lambda least, facts: facts["confidence"] >= least),
            _make_check(self.historical, lambda historical, _: not historical),  # nobody is told of historical ones
            _make_check(self.target, lambda key, facts: (key.kind, key.id) == (facts["kind"], facts["target_id"])),
            _make_check(self.satellite, lambda name, facts: name in facts["satellites"]),
            _make_check(self.started_after, lambda time, facts: datetime.fromisoformat(facts["started_at"]) >= time),
            _make_check(self.started_before, lambda time, facts: datetime.fromisoformat(facts["started_at"]) < time),
        )
        checks = [check for check in wanted if check is not None]
        return lambda facts: all(check(facts) for check in checks)


def _make_check(given: Value | None, holds: Callable[[Value, Facts], bool]) -> Callable[[Facts], bool] | None:
    return None if given is None else partial(holds, given)


def build_conditions(names: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    """Returns the conditions of a query over anomalies that have parameters of these names."""
    wanted: dict[str, Callable[[], ColumnElement[bool]]] = {
        "kind": lambda: Anomaly.kind == _bind("kind", Anomaly.kind),
        "statuses": lambda: Anomaly.status == any_(parameter("statuses", ARRAY(Anomaly.status.type))),
        "min_severity": lambda: Anomaly.severity >= _bind("min_severity", Anomaly.severity),
        "min_confidence": lambda: Anomaly.confidence >= _bind("min_confidence", Anomaly.confidence),
        "historical": lambda: Anomaly.is_historical == _bind("historical", Anomaly.is_historical),
        "target": lambda: Anomaly.target_id == _bind("target", Anomaly.target_id),
        "target_kind": lambda: Anomaly.kind == _bind("target_kind", Anomaly.kind),
        "satellite": _match_satellite,
        "started_after": lambda: Anomaly.started_at >= _bind("started_after", Anomaly.started_at),
        "started_before": lambda: Anomaly.started_at < _bind("started_before", Anomaly.started_at),
    }
    return tuple(condition() for name, condition in wanted.items() if name in names)


def _bind(name: str, column: Any) -> BindParameter[Any]:
    return parameter(name, column.type)


def _match_satellite() -> ColumnElement[bool]:
    name = _bind("satellite", Satellite.name)
    return or_(
        *(
            and_(Anomaly.kind == kind, Anomaly.target_id.in_(query.where(Satellite.name == name)))
            for kind, query in ((kind, _select_satellites(kind, named=False)) for kind in TargetKind)
        )
    )


def _select_satellites(kind: TargetKind, *, named: bool = True) -> Any:
    """Returns a query for pairs of a target's id and the name of a satellite that it depends on."""
    names = [Satellite.name] if named else []
    through_network: Any = select(Network.id, *names).join(Satellite, Satellite.id == Network.satellite_id)
    if kind is TargetKind.NETWORK:
        return through_network
    through_link = through_network.join(Link, Link.network_id == Network.id)
    if kind is TargetKind.LINK:
        return through_link.with_only_columns(Link.id, *names)
    site = _select_sites()
    joined = through_network.join(site, site.c.network_id == Network.id)
    return joined.with_only_columns(site.c.site_id, *names)


def _select_sites() -> Any:
    hubs = select(Network.hub_id.label("site_id"), Network.id.label("network_id"))
    return union(hubs, select(Link.site_id, Link.network_id)).subquery("site")


async def list_satellites(session: AsyncSession, kind: TargetKind, targets: Iterable[int]) -> dict[int, list[str]]:
    """Returns the names of the satellites that each target depends on."""
    query = _select_satellites(kind)
    id, name = query.selected_columns
    names: dict[int, list[str]] = {target: [] for target in targets}
    for target, satellite in (await session.execute(query.where(is_among(id, names)).distinct().order_by(name))).all():
        names[target].append(satellite)
    return names
