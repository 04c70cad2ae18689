"""Advisory locks: one list of all, in which no two are the same."""

from pathlib import Path

import pytest

from resolvers.store.postgres.advisory_locks import AdvisoryLock, LockFamily

ROOT = Path(__file__).parents[3]
LIST = ROOT / "resolvers" / "store" / "postgres" / "advisory_locks.py"


@pytest.mark.parametrize("locks", [AdvisoryLock, LockFamily])
def test_no_two_locks_are_the_same(locks: type[AdvisoryLock] | type[LockFamily]) -> None:
    assert len(locks.__members__) == len(set(locks))


def test_no_lock_has_its_number_elsewhere() -> None:
    sources = [path for layer in ("bcom_graphql", "resolvers", "schema") for path in (ROOT / layer).rglob("*.py")]

    assert [path for path in sources if "0x6263_" in path.read_text() and path != LIST] == []
