"""Every advisory lock that the server takes, in one list: two uses of one number would wait for each other."""

from enum import IntEnum, unique

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession


@unique
class AdvisoryLock(IntEnum):
    """The key in PostgreSQL. Never change one or use it anew: servers of two versions may run at the same time."""

    COMMIT_ORDER = 0x6263_6F6D_0001  # event ids are drawn in the order of the commits
    USERS = 0x6263_6F6D_0002  # a user is created, or another one becomes an admin
    PARTITIONS = 0x6263_6F6D_0003  # partitions are created
    MIGRATIONS = 0x6263_6F6D_0004  # the schema is migrated
    DEMO_FEED = 0x6263_6F6D_0005  # one process feeds the demo
    TOPOLOGY = 0x6263_6F6D_0006  # the topology is written: two writers in another order would deadlock
    PROFILE_LEARNING = 0x6263_6F6D_0007  # one process learns profiles
    # 0x6263_6F6D_0008 was taken for automatic analyses until incidents came.
    AUTOMATIC_RECOMMENDATIONS = 0x6263_6F6D_0009  # one process recommends by itself
    MAINTENANCE = 0x6263_6F6D_000A  # one process maintains the store
    INCIDENTS = 0x6263_6F6D_000B  # one process correlates anomalies into incidents
    DEMO_SIGHTINGS = 0x6263_6F6D_000D  # one process notes what the demo's incidents say
    SILENCE = 0x6263_6F6D_000C  # one process looks for targets that fell silent


@unique
class LockFamily(IntEnum):
    """The first of two numbers; the second is a hash of what is locked. They never meet the locks of one number."""

    MODEL = 0x6263_6F6D  # versions of a model are added or promoted
    RECOMMENDATION_SUBJECT = 0x6263_6F6E  # recommendations about an anomaly or an analysis are made


async def lock(session: AsyncSession, which: AdvisoryLock) -> None:
    """Waits for the lock, and holds it until the transaction ends."""
    await session.execute(select(func.pg_advisory_xact_lock(int(which))))
