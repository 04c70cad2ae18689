"""Model versions in PostgreSQL: immutable artefacts, one champion per model, and a cache of loaded models.

An artefact is loaded only if it matches its checksum. If a champion's does not, the version before it serves.
"""

import asyncio
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import select

from ml.artefacts import Fitted, load
from ml.catalogue.metrics import TargetKind
from ml.catalogue.models import DETECTORS, MODELS, PRIORITY, RANKING, ROOT_CAUSE, Trained
from ml.detection.detector import Detector
from ml.recommendation.ranking import PriorityModel, RankingModel
from ml.root_cause.model import RootCauseModel
from resolvers.base.errors import Conflict, InvalidInput, NotFound, Unavailable
from resolvers.base.lru_cache import LruCache
from resolvers.store.models.versions import insert_version, lock_model, read_lineage, to_metrics
from resolvers.store.postgres.database import Database
from resolvers.store.tables.models import Champion, ModelVersion

TOPIC: Final = "model"  # of events
POINTER_SECONDS: Final = 60.0  # should an event get lost
VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,39}")

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded version."""

    id: int
    model: str
    version: str
    fitted: Fitted


class Registry:
    """Loads versions; the `keep` most recently used ones stay loaded for `seconds`."""

    def __init__(self, database: Database, keep: int = 8, seconds: float = 3600.0) -> None:
        self._database = database
        self._loaded = LruCache[int, Loaded](keep, seconds)
        self._serving = LruCache[str, int](len(MODELS), POINTER_SECONDS)  # the version by its model
        self._loading = asyncio.Lock()  # for all models: numpy reads one artefact at a time, or may fail (Python 3.11)

    @property
    def loaded(self) -> int:
        """The number of loaded versions."""
        return len(self._loaded)

    async def detector(self, kind: TargetKind) -> Detector:
        """Returns the champion for a kind of target. Raises Unavailable if there is none."""
        name = next(name for name, of in DETECTORS.items() if of is kind)
        fitted = (await self.champion(name)).fitted
        assert isinstance(fitted, Detector)  # noqa: S101
        return fitted

    async def root_cause(self) -> RootCauseModel:
        """Returns the champion that names root causes. Raises Unavailable if there is none."""
        fitted = (await self.champion(ROOT_CAUSE)).fitted
        assert isinstance(fitted, RootCauseModel)  # noqa: S101
        return fitted

    async def ranking(self) -> RankingModel:
        """Returns the champion that ranks actions. Raises Unavailable if there is none."""
        fitted = (await self.champion(RANKING)).fitted
        assert isinstance(fitted, RankingModel)  # noqa: S101
        return fitted

    async def priority(self) -> PriorityModel:
        """Returns the champion that assigns priorities. Raises Unavailable if there is none."""
        fitted = (await self.champion(PRIORITY)).fitted
        assert isinstance(fitted, PriorityModel)  # noqa: S101
        return fitted

    async def champion(self, name: str) -> Loaded:
        """Returns the version that serves: the champion, or an earlier one if it is damaged.

        Raises Unavailable if none was promoted, or none that was can be loaded.
        """
        if loaded := self._get_loaded(name):
            return loaded
        async with self._loading:
            return self._get_loaded(name) or await self._look_up(name)

    async def version(self, version_id: int) -> Loaded:
        """Returns any version. Raises NotFound, Conflict if its artefact is damaged."""
        async with self._loading:
            loaded = self._loaded.get(version_id) or await self._load(version_id)
            self._loaded.put(version_id, loaded)
        return loaded

    async def verify(self, version_id: int) -> None:
        """Loads it from the database, past the cache. Raises NotFound, Conflict if its artefact is damaged."""
        async with self._loading:
            await self._load(version_id)

    def forget(self) -> None:
        """Forgets which versions are champions: another was promoted."""
        self._serving.invalidate()

    async def list_missing(self) -> list[str]:
        """Returns the models without a champion."""
        async with self._database.read() as session:
            present = set(await session.scalars(select(Champion.model)))
        return [name for name in MODELS if name not in present]

    async def add(
        self,
        name: str,
        trained: Trained,
        version: str,
        trained_by_id: int | None = None,
        parent_id: int | None = None,
    ) -> ModelVersion:
        """Stores a candidate with its measures and those of its parent, which is the champion unless one is given.

        Raises InvalidInput for an impossible version name or an artefact that cannot be loaded, Conflict for a version
        that exists.
        """
        check_version(version, ["version"])
        await self.check(name, version, trained.artefact)
        async with self._database.write() as session:
            await lock_model(session, name)
            parent_id = parent_id or await session.scalar(select(Champion.version_id).filter_by(model=name))
            row = await insert_version(
                session, name, version, trained, trained_by_id=trained_by_id, parent_id=parent_id
            )
            if parent_id is not None:
                session.add_all(to_metrics(parent_id, trained.rival_measures))
        return row

    async def check(self, name: str, version: str, artefact: bytes) -> None:
        """Raises InvalidInput for an artefact that cannot be loaded."""
        async with self._loading:
            try:
                await asyncio.to_thread(load, name, artefact, version)
            except ValueError as error:
                raise InvalidInput(f"The artefact of {name} {version} cannot be loaded: {error}.", ["file"]) from error

    def _get_loaded(self, name: str) -> Loaded | None:
        version_id = self._serving.get(name)
        return None if version_id is None else self._loaded.get(version_id)

    async def _look_up(self, name: str) -> Loaded:
        invalidations = self._serving.invalidations
        async with self._database.read() as session:
            champion = await session.scalar(select(Champion.version_id).filter_by(model=name))
        if champion is None:
            raise Unavailable(f"No version of {name} was promoted yet; run `bcom-graphql train`.")
        loaded = await self._load_sound(champion) or await self._find_stand_in(name, champion)
        self._serving.put(name, loaded.id, invalidations)
        return loaded

    async def _find_stand_in(self, name: str, champion: int) -> Loaded:
        """Returns what has served here until now, else the newest earlier champion that loads. Raises Unavailable."""
        async with self._database.read() as session:
            line = await read_lineage(session, name)
        for version_id in dict.fromkeys([self._serving.get_stale(name), *line]):
            if version_id not in (None, champion) and (loaded := await self._load_sound(version_id)):
                logger.error("a model's champion is damaged: another version serves", model=name, serves=loaded.version)
                return loaded
        raise Unavailable(
            f"No promoted version of {name} can be loaded. Promote another one:"
            " `bcom-graphql models list` shows them, `bcom-graphql train` makes one."
        )

    async def _load_sound(self, version_id: int) -> Loaded | None:
        """Returns the version if it can be loaded, or still is; else None."""
        if loaded := self._loaded.get(version_id):
            return loaded
        try:
            loaded = await self._load(version_id)
        except Conflict as error:
            logger.error("a stored model is damaged", problem=error.message)  # noqa: TRY400  the sentence suffices
            loaded = self._loaded.get_stale(version_id)
        if loaded:
            self._loaded.put(version_id, loaded)
        return loaded

    async def _load(self, version_id: int) -> Loaded:
        query = select(ModelVersion.model, ModelVersion.version, ModelVersion.artefact, ModelVersion.sha256)
        async with self._database.read() as session:
            found = (await session.execute(query.filter_by(id=version_id))).one_or_none()
        if found is None:
            raise NotFound("model version")
        model, version, artefact, sha256 = found
        try:
            if not hmac.compare_digest(hashlib.sha256(artefact).digest(), sha256):
                raise ValueError("its artefact does not match its checksum")
            return Loaded(version_id, model, version, await asyncio.to_thread(load, model, artefact, version))
        except ValueError as error:
            raise Conflict(f"{model} {version} cannot be loaded: {error}.") from error
        except OSError as error:  # too many open files, for instance: the artefact may be sound
            logger.error("a model cannot be loaded now", model=model, version=version, problem=str(error))  # noqa: TRY400
            raise Unavailable(f"The server cannot load its models now: {error.strerror}. Try again shortly.") from error


def check_version(version: str, path: Sequence[str]) -> None:
    """Raises InvalidInput for an impossible version name."""
    if not VERSION.fullmatch(version):
        raise InvalidInput(
            "A version is named like 2.0.0: up to 40 letters, digits, dots and dashes, beginning with a letter or"
            " digit.",
            path,
        )
