"""Keys: whole numbers that the database gives to entities, time-ordered UUIDs that we give to happenings."""

import os
import time
from uuid import UUID

LARGEST_INTEGER = 2**31 - 1  # of PostgreSQL's `integer` and GraphQL's `Int`


def entity_key(text: str) -> int:
    """The key that a text spells. Raises ValueError for what cannot be one."""
    plausible = text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_INTEGER))
    if not plausible or int(text) > LARGEST_INTEGER:
        raise ValueError(text)
    return int(text)


def uuid7() -> UUID:
    """A version 7 UUID (RFC 9562): 48 bits of epoch milliseconds, 12 of their fraction (6.2, method 3), randomness.

    Ordered by time to a quarter of a microsecond, so that keyset paging and sharding work.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    random = int.from_bytes(os.urandom(8)) & (1 << 62) - 1
    return UUID(int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0x2 << 62 | random)
