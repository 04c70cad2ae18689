"""The event log: written in the transaction that it reports, and read by every process from its last position on.

Why no event is lost. A reader asks for ids greater than the last one it saw, so it loses an event if, and only if, a
lower id becomes visible after a higher one. A sequence alone allows that whenever transactions overlap: ids are drawn
at the INSERT and become visible at the COMMIT. Here, a transaction draws its ids *while holding* one advisory lock
(`append`). PostgreSQL releases it at the end of the transaction, after its rows have become visible to new snapshots.
So the next id is drawn when the one before is visible or has been rolled back, and ids are in commit order, with
harmless gaps. (The sequence must not allocate ids in blocks: CACHE 1, the default.)

Failures.

- The holder's process or connection dies: PostgreSQL rolls back and releases the lock; nothing was visible.
- Its COMMIT is sent but not answered: whether it commits or not, later ids are drawn after that is decided.
- The holder hangs: the others wait until it continues or its connection ends.
- A writer waits too long: `statement_timeout` ends its wait, its work is rolled back, its client gets TIMEOUT, and
  readers see nothing of it.
- A wake-up is lost: readers look every few seconds anyway.

Costs. Only transactions with events queue, each for the duration of an INSERT, a NOTIFY and a COMMIT. The lock is
taken last, so its holder waits for no other lock (no deadlock), and runs no slow statement. Such transactions commit
one after another, each with its own disk flush, however many events it has. NOTIFY's global commit lock adds nothing,
as its holders queue already. With NATS, the wake-up follows the commit, and nobody waits for it.

The alternative is to store each row's transaction and to read no further than `pg_snapshot_xmin`. Then writers do not
wait, but readers wait for the oldest writing transaction of the whole PostgreSQL server, such as an import of an
hour, and cursors would be pairs without meaning in a restored database. `live_samples` compares snapshots, because it
has far more writers than the event log, and no cursors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import delete, extract, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from resolvers.base.errors import Expired, InvalidInput
from resolvers.store.postgres.advisory_locks import AdvisoryLock, lock
from resolvers.store.tables.core import Event as Row

BATCH = 500
FORGOTTEN_AT_ONCE = 5000
MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to `subject`. facts: what filters match on, as of then."""

    topic: str
    change: str
    subject: str
    facts: dict[str, Any]
    id: int = 0  # assigned at the commit

    @property
    def cursor(self) -> str:
        return str(self.id)


# ---------------------------------------------------------------- writing


def publish(session: AsyncSession, event: Event) -> None:
    """Publishes the event if, and only if, this session commits."""
    session.info.setdefault("events", []).append(event)


async def append(session: AsyncSession) -> None:
    """Writes the published events, as the last step before the commit."""
    pending: list[Event] = session.info.pop("events", [])
    if not pending:
        return
    await lock(session, AdvisoryLock.COMMIT_ORDER)
    rows = [{"topic": e.topic, "change": e.change, "subject": e.subject, "facts": e.facts} for e in pending]
    await session.execute(insert(Row), rows)
    session.info["appended"] = True


def has_appended(session: AsyncSession) -> bool:
    """Returns whether readers must be woken when the session commits."""
    return "appended" in session.info


# ---------------------------------------------------------------- reading


async def read_bounds(session: AsyncSession) -> tuple[int, int]:
    """Returns the oldest and the newest id in the log; zeros if it has always been empty."""
    oldest, newest = (await session.execute(select(func.min(Row.id), func.max(Row.id)))).one()
    return oldest or 0, newest or 0


@dataclass(frozen=True, slots=True)
class Lag:
    """The events after a position: their number, at most MOST_COUNTED, and the age of the oldest."""

    events: int
    seconds: float


async def measure_lag(session: AsyncSession, position: int) -> Lag:
    next_ones = select(Row.at).where(Row.id > position).order_by(Row.id).limit(MOST_COUNTED).subquery()
    age = extract("epoch", func.now() - func.min(next_ones.c.at))
    number, seconds = (await session.execute(select(func.count(), age).select_from(next_ones))).one()
    return Lag(number, max(0.0, float(seconds or 0)))


async def read(session: AsyncSession, after: int) -> list[Event]:
    """Returns the next events after a position. Raises Expired if some of them may have been deleted.

    `forget` deletes the oldest first. So the events after the position are complete if, and only if, the snapshot still
    has one at or before it. Both are read in one statement, as events could be deleted between two.
    """
    kept = aliased(Row)
    oldest = select(func.min(kept.id)).scalar_subquery()
    rows = (await session.execute(select(Row, oldest).where(Row.id > after).order_by(Row.id).limit(BATCH))).all()
    if rows:
        check_kept(after, rows[0][1])
    return [Event(row.topic, row.change, row.subject, row.facts, row.id) for row, _ in rows]


def parse_cursor(cursor: str) -> int:
    """Returns the position of a cursor; 0 is before all events. Raises InvalidInput for one that no event had."""
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidInput(
            "This is not an event's cursor. Pass the `cursor` of an earlier event, or leave `after` out.", ["after"]
        )
    return int(cursor)


def check_kept(position: int, oldest: int) -> None:
    """Raises Expired for a position before the oldest event in the log, except 0: nothing was seen, nothing missed."""
    if 0 < position < oldest:
        raise Expired(str(oldest))


# ---------------------------------------------------------------- retention


async def forget(session: AsyncSession, days: int) -> bool:
    """Deletes some of the events older than so many days, oldest first; returns whether there are more.

    The last of them stays until a later one is as old. So the newest id, which cursors are compared with, never
    decreases, and the oldest event in the log is itself the oldest valid cursor. Ids are in commit order, while times
    are those of transaction starts, so deletion stops at the first event that is young enough.
    """
    is_over = Row.at < func.now() - timedelta(days=days)
    oldest = await session.execute(select(Row.id, is_over.label("over")).order_by(Row.id).limit(FORGOTTEN_AT_ONCE + 1))
    over: Sequence[int] = [row.id for row in takewhile(lambda row: row.over, oldest)]
    if over:
        await session.execute(delete(Row).where(Row.id < over[-1]))
    return len(over) > FORGOTTEN_AT_ONCE
