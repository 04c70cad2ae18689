"""Time-ordered identifiers, made here and not by the database."""

import os
import time
from uuid import UUID


def uuid7() -> UUID:
    """A version 7 UUID (RFC 9562, 5.7): 48 bits of epoch milliseconds, then randomness.

    Ordered by time between milliseconds only, which suffices for keyset paging: equal milliseconds have a fixed order.
    """
    value = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)
