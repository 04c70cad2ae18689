"""How sensitive detection is, by kind of target: stored for all processes, cached in each."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import TargetKind
from resolvers.base.lru_cache import LruCache
from resolvers.store.postgres.database import Database
from resolvers.store.tables.models import Sensitivity

TOPIC: Final = "sensitivity"  # of events
USUAL: Final = 0.5
BELIEVED_SECONDS: Final = 60.0  # should an event get lost


class Sensitivities:
    """The sensitivities, cached in this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._recent = LruCache[TargetKind, float](len(TargetKind), BELIEVED_SECONDS)

    async def get(self, kind: TargetKind) -> float:
        """Returns the sensitivity, from 0 to 1. Raises Unavailable."""
        known = self._recent.get(kind)
        if known is not None:
            return known
        invalidations = self._recent.invalidations
        async with self._database.read() as session:
            value = (await find_sensitivities(session, [kind]))[kind].value
        self._recent.put(kind, value, invalidations)
        return value

    def forget(self) -> None:
        """Drops the cache: a sensitivity was set."""
        self._recent.invalidate()


async def find_sensitivities(session: AsyncSession, kinds: Sequence[TargetKind]) -> dict[TargetKind, Sensitivity]:
    """Returns the sensitivity of each kind; the usual one, without an author, if none was set."""
    rows = await session.scalars(select(Sensitivity).where(Sensitivity.kind.in_(kinds)))
    found = {row.kind: row for row in rows}
    return {kind: found.get(kind) or Sensitivity(kind=kind, value=USUAL) for kind in kinds}
