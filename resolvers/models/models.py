"""Models and their versions: reading, promoting, rolling back."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.models import MODELS, Measure, promotion_blockers
from resolvers.base.access import Caller
from resolvers.base.errors import Conflict, NotFound
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.lists.listings import Listing, cached_listing
from resolvers.store.events.log import Event, publish
from resolvers.store.models.registry import TOPIC
from resolvers.store.models.versions import find_newest_metrics, lock_model, read_lineage
from resolvers.store.tables.models import Champion, ModelAction, ModelMetric, ModelVersion, Promotion


@dataclass(frozen=True)
class Model:
    """A model by its name, which is its key; its versions are rows."""

    name: str

    @property
    def id(self) -> str:
        return self.name


# ---------------------------------------------------------------- reading


async def list_models(context: Context) -> list[Model]:
    """Returns all models, with versions or without."""
    context.require(Role.VIEWER, "see models")
    return [Model(name) for name in MODELS]


async def find_model(context: Context, name: str) -> Model | None:
    context.require(Role.VIEWER, "see models")
    return Model(name) if name in MODELS else None


async def find_version(context: Context, model: str, version: str) -> ModelVersion:
    """Raises NotFound."""
    context.require(Role.VIEWER, "see models")
    async with context.database.read() as session:
        row = await session.scalar(select(ModelVersion).filter_by(model=model, version=version))
    if row is None:
        raise NotFound("model version")
    return row


@cached_listing
def versions() -> Listing[ModelVersion]:
    """The versions of many models, newest first."""
    pairs = select(ModelVersion.model.label("parent"), ModelVersion.id.label("child"))
    return Listing(ModelVersion, (ModelVersion.trained_at, ModelVersion.id), descending=True, relation=pairs)


# ---------------------------------------------------------------- changing


async def promote(context: Context, version_id: int, *, force: bool = False, note: str | None = None) -> ModelVersion:
    """Makes the version the champion; `force`: even if it measures worse than the present one.

    Raises NotFound, and Conflict with the reasons.
    """
    caller = context.require(Role.ADMIN, "promote models")
    await context.services.registry.verify(version_id)
    async with context.database.write() as session:
        version = await session.get_one(ModelVersion, version_id)
        await lock_model(session, version.model)
        champion = await session.get(Champion, version.model)
        reasons = await _find_blockers(session, version, champion)
        if reasons and not force:
            raise Conflict(
                f"{version.model} {version.version} is not promoted. {' '.join(reasons)} To promote it anyway,"
                " force it."
            )
        await _set_champion(session, version, ModelAction.PROMOTED, caller, note, forced=bool(reasons))
    context.services.registry.forget()
    return version


async def _find_blockers(session: AsyncSession, version: ModelVersion, champion: Champion | None) -> list[str]:
    """Returns why it should not be promoted. Raises Conflict if it is the champion already."""
    if champion is None:
        return []
    if champion.version_id == version.id:
        raise Conflict(f"{version.model} {version.version} is the champion already.")
    found = await find_newest_metrics(session, [version.id, champion.version_id])
    return promotion_blockers(_to_measures(found[version.id]), _to_measures(found[champion.version_id]))


def _to_measures(metrics: Sequence[ModelMetric]) -> list[Measure]:
    return [Measure(one.name, one.value, one.samples, one.dataset) for one in metrics]


async def rollback(context: Context, model: str, note: str | None = None) -> ModelVersion:
    """Makes the champion before the present one the champion again. Raises NotFound, and Conflict with the reason.

    Another rollback goes back further.
    """
    caller = context.require(Role.ADMIN, "roll models back")
    if model not in MODELS:
        raise NotFound("model")
    line = await _find_lineage(context, model)
    await context.services.registry.verify(line[1])
    async with context.database.write() as session:
        await lock_model(session, model)
        if await read_lineage(session, model) != line:
            raise Conflict(f"The champion of {model} has just changed. Look at it and try again.")
        version = await session.get_one(ModelVersion, line[1])
        await _set_champion(session, version, ModelAction.ROLLED_BACK, caller, note)
    context.services.registry.forget()
    return version


async def _find_lineage(context: Context, model: str) -> list[int]:
    """Returns the champion and at least one before it. Raises Conflict."""
    async with context.database.read() as session:
        line = await read_lineage(session, model)
    if len(line) < 2:
        raise Conflict(f"There is no earlier champion of {model} to go back to.")
    return line


async def _set_champion(
    session: AsyncSession,
    version: ModelVersion,
    action: ModelAction,
    caller: Caller,
    note: str | None,
    *,
    forced: bool = False,
) -> None:
    """Stores the champion and its history, and publishes the event."""
    pointer = insert(Champion).values(model=version.model, version_id=version.id, since=func.now())
    moved = {"version_id": pointer.excluded.version_id, "since": pointer.excluded.since}
    await session.execute(pointer.on_conflict_do_update(index_elements=["model"], set_=moved))
    session.add(build_promotion(version, action, caller, note, forced=forced))
    publish(session, Event(TOPIC, action, version.model, {"version": version.version}))


def build_promotion(
    version: ModelVersion, action: ModelAction, caller: Caller, note: str | None = None, *, forced: bool = False
) -> Promotion:
    """Returns the history's row: who did what."""
    return Promotion(
        model=version.model, version_id=version.id, action=action, by_id=caller.author_id, forced=forced, note=note
    )
