"""Rows of model versions, which never change, and the history of champions."""

import hashlib
import math
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import exists, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.models import Measure, Trained
from resolvers.base.errors import Conflict
from resolvers.store.postgres.advisory_locks import LockFamily
from resolvers.store.postgres.conditions import is_among
from resolvers.store.tables.models import Champion, ModelAction, ModelMetric, ModelStage, ModelVersion, Promotion


async def lock_model(session: AsyncSession, name: str) -> None:
    """Locks the model: until the transaction ends, nobody else adds or promotes versions of it."""
    await session.execute(select(func.pg_advisory_xact_lock(int(LockFamily.MODEL), func.hashtext(name))))


async def read_lineage(session: AsyncSession, name: str) -> list[int]:
    """Returns the champion and those before it, newest first, without those that a rollback took back."""
    query = select(Promotion.version_id, Promotion.action).filter_by(model=name).order_by(Promotion.id)
    line: list[int] = []
    for version_id, action in await session.execute(query):
        if action is ModelAction.PROMOTED:
            line.append(version_id)
        elif action is ModelAction.ROLLED_BACK:
            line.pop()
    return line[::-1]


async def find_champions(session: AsyncSession, names: Sequence[str]) -> dict[str, ModelVersion | None]:
    """Returns the champion of each model, or None."""
    query = select(ModelVersion).join(Champion, Champion.version_id == ModelVersion.id)
    found = {row.model: row for row in await session.scalars(query.where(is_among(Champion.model, names)))}
    return {name: found.get(name) for name in names}


async def find_stages(session: AsyncSession, version_ids: Sequence[int]) -> dict[int, ModelStage]:
    """Returns the stage of each version: champion now, archived if it was one before, else candidate."""
    reigns = exists().where(Champion.version_id == ModelVersion.id)
    reigned = exists().where(Promotion.version_id == ModelVersion.id, Promotion.action != ModelAction.IMPORTED)
    query = select(ModelVersion.id, reigns, reigned).where(is_among(ModelVersion.id, version_ids))
    archived = {True: ModelStage.ARCHIVED, False: ModelStage.CANDIDATE}
    rows = await session.execute(query)
    return {key: ModelStage.CHAMPION if now else archived[before] for key, now, before in rows}


async def find_newest_metrics(session: AsyncSession, version_ids: Sequence[int]) -> dict[int, list[ModelMetric]]:
    """Returns the measures of each version: the newest of each name and data set."""
    by = (ModelMetric.version_id, ModelMetric.name, ModelMetric.dataset)
    query = select(ModelMetric).where(is_among(ModelMetric.version_id, version_ids)).ext(distinct_on(*by))
    found: dict[int, list[ModelMetric]] = {version_id: [] for version_id in version_ids}
    for metric in await session.scalars(query.order_by(*by, ModelMetric.id.desc())):
        found[metric.version_id].append(metric)
    return found


async def find_promotions(session: AsyncSession, version_ids: Sequence[int]) -> dict[int, list[Promotion]]:
    """Returns the promotions of each version, oldest first."""
    found: dict[int, list[Promotion]] = {version_id: [] for version_id in version_ids}
    query = select(Promotion).where(is_among(Promotion.version_id, version_ids)).order_by(Promotion.id)
    for promotion in await session.scalars(query):
        found[promotion.version_id].append(promotion)
    return found


async def insert_version(
    session: AsyncSession,
    name: str,
    version: str,
    trained: Trained,
    *,
    trained_by_id: int | None = None,
    parent_id: int | None = None,
    trained_at: datetime | None = None,
) -> ModelVersion:
    """Stores a candidate with its measures; `lock_model` comes first. Raises Conflict for a version that exists."""
    if await session.scalar(select(ModelVersion.id).filter_by(model=name, version=version)):
        raise Conflict(f"{name} {version} exists already; choose another version.")
    row = _row(name, version, trained)
    row.trained_by_id, row.parent_id, row.trained_at = trained_by_id, parent_id, trained_at or datetime.now(UTC)
    session.add(row)
    await session.flush()
    session.add_all(to_metrics(row.id, trained.measures))
    return row


def _row(name: str, version: str, trained: Trained) -> ModelVersion:
    return ModelVersion(
        model=name,
        version=version,
        sha256=hashlib.sha256(trained.artefact).digest(),
        size_bytes=len(trained.artefact),
        artefact=trained.artefact,
        algorithm=trained.algorithm,
        features=[*trained.features],
        hyperparameters=dict(trained.hyperparameters),
        seed=trained.seed,
        training_samples=trained.samples,
        details=dict(trained.details),
    )


def to_metrics(version_id: int, measures: Sequence[Measure]) -> list[ModelMetric]:
    """Returns the rows of the finite measures."""
    return [
        ModelMetric(version_id=version_id, name=one.name, value=one.value, samples=one.samples, dataset=one.dataset)
        for one in measures
        if math.isfinite(one.value)
    ]
