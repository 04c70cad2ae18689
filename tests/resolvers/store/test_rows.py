"""Rows that the driver gives are what the ORM would make of them, as far as they were read."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import ARRAY, Enum, String, inspect, select, text
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.orm import undefer
from sqlalchemy.types import TypeEngine

from ml.catalogue.metrics import Direction, Metric, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.detection.episodes import Severity
from ml.recommendation.case import FaultCase, TrackRecord
from ml.root_cause.report import Evidence
from resolvers.context import Services
from resolvers.nodes import NODE_TABLES
from resolvers.store.postgres import rows
from resolvers.store.postgres.column_types import Xid8
from resolvers.store.tables.analysis_documents import Culprit, Hypothesis, Pattern
from resolvers.store.tables.core import Anomaly, Satellite, Table
from resolvers.store.tables.models import ModelVersion
from tests.helpers.support import Factory

AT = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)
PATTERN = Pattern(
    cause=RootCause.RAIN_FADE,
    culprit=Culprit(CulpritKind.SITE, 1),
    description="Rain.",
    severity=0.5,
    confidence=0.9,
    started_at=AT,
    ended_at=None,
    links=(1, 2),
    directions=(Direction.OB,),
    evidence=(Evidence("It rains.", True, 1.5),),
    hypotheses=(Hypothesis(RootCause.RAIN_FADE, None, 1.0),),
)
FAULT_CASE = FaultCase(
    scope=CulpritKind.LINK,
    severity=0.5,
    confidence=0.9,
    causes=((RootCause.RAIN_FADE, 1.0),),
    kind=TargetKind.LINK,
    shares={Metric.LATENCY_MS: 1.0},
    directions=(Direction.OB,),
)
VALUES: dict[str, Any] = {  # by the name of the type
    "UtcDateTime": AT,
    "SeverityRank": Severity.HIGH,
    "JSONB": {"a": [1, None, 1.5, "é"]},
    "Patterns": (PATTERN,),
    "OnePattern": PATTERN,
    "FaultCaseJson": FAULT_CASE,
    "TrackRecordJson": TrackRecord(1, 2, 3, 4),
    "TSTZMULTIRANGE": [Range(AT, AT + timedelta(hours=1))],
    "LargeBinary": b"\x00\xff",
    "Boolean": True,
    "String": "OB",
    "Text": "long",
    "Float": 0.1,
    "REAL": 0.5,
}
ALL = sorted((mapper.class_ for mapper in Table.registry.mappers), key=lambda entity: entity.__name__)


def value(kind: TypeEngine[Any], number: int) -> Any:
    """Of any type; of what may have to be unique, another one for each number."""
    if isinstance(kind, Enum):
        return kind.python_type(kind.enums[-1])
    if isinstance(kind, ARRAY):
        return [value(kind.item_type, number)] * 2
    if type(kind).__name__ == "Uuid":
        return UUID(int=number)
    if isinstance(kind, String) and kind.length:
        return VALUES["String"][: kind.length]
    return VALUES.get(type(kind).__name__, number)


def filled(entity: type[Table], number: int, *, whole: bool) -> Table:
    """With something in every column, or with nothing wherever that may be."""
    columns = [one.columns[0] for one in inspect(entity).column_attrs]
    given = [one for one in columns if not isinstance(one.type, Xid8) and (whole or not one.nullable)]
    row = entity(**{one.name: value(one.type, number) for one in given})
    if isinstance(row, Anomaly) and not whole:
        row.status = type(row.status).OPEN
    return row


@pytest.mark.parametrize("entity", ALL, ids=lambda entity: entity.__name__)
@pytest.mark.parametrize("whole", [True, False], ids=["everything", "nothing"])
async def test_a_row_is_what_the_orm_makes_of_it(services: Services, entity: type[Table], *, whole: bool) -> None:
    async with services.database.write() as session:
        await session.execute(text("SET LOCAL session_replication_role = replica"))  # nothing else need exist
        await session.execute(text(f"TRUNCATE {entity.__tablename__} CASCADE"))
        session.add(filled(entity, 7, whole=whole))
    names = tuple(one.key for one in inspect(entity).column_attrs)
    query = rows.compile_statement(select(*rows.select_columns(entity, names)), rows.record_type(entity, names))
    async with services.database.read() as session:
        expected = (await session.scalars(select(entity).options(undefer("*")))).one()

    [found] = await rows.fetch(services.database, query)

    assert {name: getattr(found, name) for name in names} == {name: getattr(expected, name) for name in names}
    assert [type(getattr(found, name)) for name in names] == [type(getattr(expected, name)) for name in names]


async def test_what_is_wanted_is_read_and_the_key(services: Services, make: Factory, statements: list[str]) -> None:
    anomaly = await make.anomaly()
    statements.clear()

    found = (await rows.fetch_by_keys(services.database, Anomaly, frozenset({"severity"}), [anomaly.id]))[anomaly.id]

    assert found is not None
    assert (found.id, found.severity) == (anomaly.id, Severity.MEDIUM)
    assert [one.split("\n")[0].strip() for one in statements] == ["SELECT anomalies.id, anomalies.severity"]
    with pytest.raises(AttributeError, match="score of Anomaly was not loaded"):
        found.score  # noqa: B018


async def test_what_does_not_exist_is_nothing(services: Services) -> None:
    assert await rows.fetch_by_keys(services.database, Satellite, None, [1, 2]) == {1: None, 2: None}


@pytest.mark.parametrize("entity", NODE_TABLES.values(), ids=NODE_TABLES)
def test_all_is_what_the_orm_would_read(entity: type[Table]) -> None:
    assert set(rows.columns_of(entity, None)) == set(entity.__table__.c.keys()) - {"artefact"}


def test_a_large_column_is_read_when_asked_for_by_name() -> None:
    assert rows.columns_of(ModelVersion, frozenset({"artefact"})) == ("id", "artefact")
