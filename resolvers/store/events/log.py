"""The event log: written in the transaction that it tells of, read on by every process from its last position.

Why no event is lost. A reader asks for ids greater than the last it saw, so it loses an event if, and only if, a lower
id becomes visible after a higher one. With a sequence alone that happens whenever transactions overlap: ids are drawn
at the INSERT and become visible at the COMMIT. Here a transaction draws its ids *while holding* one advisory lock
(`append`) that PostgreSQL releases at the transaction's end, after its rows became visible to new snapshots: whoever
draws the next id does so when the one before is visible, or gone for good. Ids are in commit order, with harmless gaps
where a transaction rolled back. (The sequence must not hand out ids in blocks: CACHE 1, the default.)

What goes wrong, and what then. The holder's process or connection dies: PostgreSQL rolls it back and releases the lock,
nothing of it was visible. Its COMMIT is sent but unanswered: committed or not, ids after it are drawn after that is
settled. The holder hangs: the others wait until it goes on or its connection ends. A writer waits too long for its
turn: `statement_timeout` ends its wait, all of its work is rolled back, its client is told TIMEOUT, readers see nothing
of it. A wake-up is lost: readers look every few seconds anyway.

What it costs. Only transactions with events queue, and each for as long as an INSERT, a NOTIFY and a COMMIT take: the
lock comes last, after all other work, so nothing that it waits for can wait for it (no deadlock), and no slow statement
is done under it. So such transactions commit one after another, each with a flush of the disk of its own, however many
events it carries. NOTIFY's own global commit lock costs nothing on top: its holders are in line already. By NATS, the
wake-up follows the commit, and nobody waits for it.

The alternative, to note each row's transaction and to read no further than `pg_snapshot_xmin`, has writers wait for
nobody, but readers for the oldest writing transaction of the whole PostgreSQL server, such as an import of an hour;
cursors would be pairs that mean nothing in a restored database. `live` compares snapshots, because it has far more
writers than events have, and no cursors.
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
    """Something that happened to `subject`; `facts` are what filters match on, as they were then."""

    topic: str
    change: str
    subject: str
    facts: dict[str, Any]
    id: int = 0  # given when it is committed

    @property
    def cursor(self) -> str:
        return str(self.id)


# ---------------------------------------------------------------- writing


def publish(session: AsyncSession, event: Event) -> None:
    """Tell of it if, and only if, this session commits."""
    session.info.setdefault("events", []).append(event)


async def append(session: AsyncSession) -> None:
    """Write what was published; the last thing before the commit."""
    pending: list[Event] = session.info.pop("events", [])
    if not pending:
        return
    await lock(session, AdvisoryLock.COMMIT_ORDER)
    rows = [{"topic": e.topic, "change": e.change, "subject": e.subject, "facts": e.facts} for e in pending]
    await session.execute(insert(Row), rows)
    session.info["appended"] = True


def has_appended(session: AsyncSession) -> bool:
    """Whether readers should be told when it commits."""
    return "appended" in session.info


# ---------------------------------------------------------------- reading


async def read_bounds(session: AsyncSession) -> tuple[int, int]:
    """The oldest and the newest id kept; zeros while nothing ever happened."""
    oldest, newest = (await session.execute(select(func.min(Row.id), func.max(Row.id)))).one()
    return oldest or 0, newest or 0


@dataclass(frozen=True, slots=True)
class Lag:
    """What is behind a position: how many events, at most MOST_COUNTED, and how old the oldest is."""

    events: int
    seconds: float


async def measure_lag(session: AsyncSession, position: int) -> Lag:
    next_ones = select(Row.at).where(Row.id > position).order_by(Row.id).limit(MOST_COUNTED).subquery()
    age = extract("epoch", func.now() - func.min(next_ones.c.at))
    number, seconds = (await session.execute(select(func.count(), age).select_from(next_ones))).one()
    return Lag(number, max(0.0, float(seconds or 0)))


async def read(session: AsyncSession, after: int) -> list[Event]:
    """The next events behind a position. Raises Expired when the very next may be gone.

    One statement has one snapshot: as `forget` takes the oldest first, what is behind the position is whole in it if,
    and only if, something at or before the position is in it too. A check in a statement of its own could be outrun.
    """
    kept = aliased(Row)
    oldest = select(func.min(kept.id)).scalar_subquery()
    rows = (await session.execute(select(Row, oldest).where(Row.id > after).order_by(Row.id).limit(BATCH))).all()
    if rows:
        check_kept(after, rows[0][1])
    return [Event(row.topic, row.change, row.subject, row.facts, row.id) for row, _ in rows]


def parse_cursor(cursor: str) -> int:
    """Raises InvalidInput for a cursor that no event carried; 0 is before all that is kept."""
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidInput(
            "This is not an event's cursor. Pass the `cursor` of an earlier event, or leave `after` out.", ["after"]
        )
    return int(cursor)


def check_kept(position: int, oldest: int) -> None:
    """Raises Expired for a position before the oldest event kept; but who saw nothing yet (0) has missed nothing."""
    if 0 < position < oldest:
        raise Expired(str(oldest))


# ---------------------------------------------------------------- retention


async def forget(session: AsyncSession, days: int) -> bool:
    """Delete some of the events older than that, the oldest first; whether there are more.

    The last of them stays until a later one is as old: so the newest id never falls back, which cursors are measured
    against, and the oldest that is kept is itself the oldest cursor that is still good. Younger ones stay even among
    older ones, as times are those of transactions' beginnings while ids are in the order of their ends.
    """
    is_over = Row.at < func.now() - timedelta(days=days)
    oldest = await session.execute(select(Row.id, is_over.label("over")).order_by(Row.id).limit(FORGOTTEN_AT_ONCE + 1))
    over: Sequence[int] = [row.id for row in takewhile(lambda row: row.over, oldest)]
    if over:
        await session.execute(delete(Row).where(Row.id < over[-1]))
    return len(over) > FORGOTTEN_AT_ONCE
