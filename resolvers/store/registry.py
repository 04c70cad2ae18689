"""Model versions in Postgres: immutable artefacts, and one champion pointer per model."""

import asyncio
import hashlib
import time
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from ml.detector import Detector
from ml.metrics import TargetKind
from ml.training import MODELS
from resolvers.errors import Conflict
from resolvers.store.database import Database
from resolvers.store.tables import Champion, ModelVersion

POINTER_TTL_SECONDS = 60.0


@dataclass(slots=True)
class _Entry:
    version_id: int
    detector: Detector
    checked_at: float


class Registry:
    """Loads each champion once, and looks once a minute whether another was promoted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: dict[TargetKind, _Entry] = {}
        self._loading = asyncio.Lock()  # for all kinds: numpy reads one artefact at a time, or may fail (Python 3.11)

    async def detector(self, kind: TargetKind) -> Detector:
        """The champion. Raises LookupError when none was trained, ValueError when its bytes are not what was stored."""
        if entry := self._fresh(kind):
            return entry.detector
        async with self._loading:
            entry = self._fresh(kind) or await self._looked_up(kind)
        return entry.detector

    def _fresh(self, kind: TargetKind) -> _Entry | None:
        entry = self._cache.get(kind)
        return entry if entry and time.monotonic() - entry.checked_at < POINTER_TTL_SECONDS else None

    async def _looked_up(self, kind: TargetKind) -> _Entry:
        entry = self._cache.get(kind)
        version_id = await self._champion(MODELS[kind])
        detector = entry.detector if entry and entry.version_id == version_id else await self._load(version_id)
        self._cache[kind] = _Entry(version_id, detector, time.monotonic())
        return self._cache[kind]

    async def missing(self) -> list[TargetKind]:
        """The kinds without a champion."""
        async with self._database.read() as session:
            present = set(await session.scalars(select(Champion.model)))
        return [kind for kind in TargetKind if MODELS[kind] not in present]

    async def add(self, kind: TargetKind, detector: Detector) -> None:
        """Store a version and promote it. Raises Conflict if that version exists: versions are immutable."""
        artefact = detector.to_bytes()
        async with self._database.write() as session:
            known = select(ModelVersion.id).filter_by(model=MODELS[kind], version=detector.version)
            if await session.scalar(known):
                raise Conflict(f"{MODELS[kind]} {detector.version} exists already; choose another version.")
            version = ModelVersion(
                model=MODELS[kind],
                version=detector.version,
                sha256=hashlib.sha256(artefact).digest(),
                artefact=artefact,
                details=dict(detector.metadata),
            )
            session.add(version)
            await session.flush()
            promote = insert(Champion).values(model=version.model, version_id=version.id)
            pointer = {"version_id": promote.excluded.version_id, "since": promote.excluded.since}
            await session.execute(promote.on_conflict_do_update(index_elements=["model"], set_=pointer))
        self._cache.pop(kind, None)

    async def _champion(self, model: str) -> int:
        async with self._database.read() as session:
            version_id = await session.scalar(select(Champion.version_id).filter_by(model=model))
        if version_id is None:
            raise LookupError(f"No version of {model} was promoted; run `bcom-graphql train`.")
        return version_id

    async def _load(self, version_id: int) -> Detector:
        async with self._database.read() as session:
            query = select(ModelVersion.artefact, ModelVersion.sha256).filter_by(id=version_id)
            artefact, sha256 = (await session.execute(query)).one()
        if hashlib.sha256(artefact).digest() != sha256:
            raise ValueError("A stored model does not match its checksum.")
        return await asyncio.to_thread(Detector.from_bytes, artefact)
