"""Time-ordered identifiers."""

import time
from uuid import UUID

from resolvers.store.postgres.identifiers import uuid7


def test_an_identifier_is_a_version_7_uuid_of_now() -> None:
    before, made, after = time.time_ns(), uuid7(), time.time_ns()

    assert (made.version, made.variant) == (7, UUID(int=0x2 << 62).variant)
    assert before // 1_000_000 <= made.int >> 80 <= after // 1_000_000


def test_identifiers_are_ordered_by_the_time_they_were_made() -> None:
    made = []
    for _ in range(200):
        made.append(uuid7())
        until = time.perf_counter_ns() + 2_000
        while time.perf_counter_ns() < until:
            pass

    assert made == sorted(made)
    assert len(set(made)) == len(made)
