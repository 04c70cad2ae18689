"""The profiles of streams: stored in the database, cached by each process."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncSession

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.detection.detector import Detector
from ml.detection.profiles import Profiles
from resolvers.store.postgres.database import driver
from resolvers.store.telemetry.streams import StreamKey

MAX_PROFILES: Final = 20_000  # streams per process; some 5 kB each


class StoredProfile(NamedTuple):
    """A profile as it is stored; number: counts up with each refit; model_version: whose forest it was fitted with."""

    number: int
    model_version: str
    content: bytes


class ProfileCache:
    """The profiles that this process has read, the least recently used forgotten first."""

    def __init__(self) -> None:
        self._profiles = OrderedDict[tuple[TargetKind, StreamKey], StoredProfile]()

    async def load(
        self, session: AsyncSession, kind: TargetKind, keys: Sequence[StreamKey], numbers: NDArray[np.int64]
    ) -> list[StoredProfile | None]:
        """Returns each stream's profile of this number; None for number 0, and where its row is missing."""
        pairs = list(zip(keys, numbers.tolist(), strict=True))
        outdated = [key for key, number in pairs if number and self._get_number(kind, key) != number]
        for key in outdated:
            self._profiles.pop((kind, key), None)
        for key, profile in (await _read(session, kind, outdated)).items() if outdated else ():
            self._profiles[kind, key] = profile
        profiles = [self._use(kind, key) if number else None for key, number in pairs]
        while len(self._profiles) > MAX_PROFILES:
            self._profiles.popitem(last=False)
        return profiles

    def _get_number(self, kind: TargetKind, key: StreamKey) -> int:
        profile = self._profiles.get((kind, key))
        return profile.number if profile else 0

    def _use(self, kind: TargetKind, key: StreamKey) -> StoredProfile | None:
        if (kind, key) in self._profiles:
            self._profiles.move_to_end((kind, key))
        return self._profiles.get((kind, key))


async def _read(session: AsyncSession, kind: TargetKind, keys: Sequence[StreamKey]) -> dict[StreamKey, StoredProfile]:
    connection = await driver(session)
    records = await connection.fetch(
        "SELECT key.target, key.direction, number, model_version, content"
        " FROM unnest($1::int[], $2::text[]) AS key (target, direction) CROSS JOIN LATERAL (SELECT * FROM profiles"
        " WHERE target_id = key.target AND kind = $3 AND direction = key.direction AND content IS NOT NULL) AS profile",
        [key[0] for key in keys],
        [key[1] for key in keys],
        kind.value,
    )
    return {(record[0], record[1]): StoredProfile(record[2], record[3], record[4]) for record in records}


def combine_profiles(detector: Detector, prior: Profiles, stored: Sequence[StoredProfile | None]) -> Profiles:
    """Returns each stream's stored profile, else its prior one; recalibrated where another version fitted it."""
    own = [profile for profile in stored if profile is not None]
    if not own:
        return prior
    profiles = Profiles.from_bytes([profile.content for profile in own], len(CATALOGUE[detector.kind].specs))
    is_current = np.array([profile.model_version == detector.version for profile in own])
    which = np.flatnonzero([profile is not None for profile in stored])
    return prior.replace_at(which, detector.recalibrate(profiles, is_current))


async def store_profiles(
    session: AsyncSession,
    kind: TargetKind,
    keys: Sequence[StreamKey],
    samples: Sequence[tuple[int, int]],
    version: str,
    contents: Sequence[bytes | None],
) -> list[int]:
    """Stores the profiles of streams, or that their history does not suffice (None); returns their numbers.

    The caller holds locks on the streams, in the order of their keys.

    samples: that each history had, and with which it is due again.
    """
    connection, numbers = await driver(session), list[int]()
    for key, (count, due), content in zip(keys, samples, contents, strict=True):
        number = await connection.fetchval(
            "UPDATE streams SET profile = CASE WHEN $4 THEN profile + 1 ELSE 0 END"
            " WHERE target_id = $1 AND direction = $2 AND kind = $3 RETURNING profile",
            *key,
            kind.value,
            content is not None,
        )
        await connection.execute(
            "INSERT INTO profiles (target_id, direction, kind, number, samples, model_version, content,"
            " due_samples) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
            " ON CONFLICT (target_id, kind, direction) DO UPDATE SET"
            " number = excluded.number, samples = excluded.samples, model_version = excluded.model_version,"
            " due_samples = excluded.due_samples,"
            " learned_at = now(), content = excluded.content",
            *key,
            kind.value,
            number,
            count,
            version,
            content,
            due,
        )
        numbers.append(number)
    return numbers
