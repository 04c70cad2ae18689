"""What is asked for together is fetched together, once; failures and cancellations stay with those they concern."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolvers.base.dataloader import Loader, group_loader


class Fetched(Exception):
    pass


class Store:
    """Doubles numbers, and remembers what it was asked; may be slow, or broken."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.broken = False
        self.stopped = False

    async def fetch(self, keys: Sequence[int]) -> dict[int, int | BaseException]:
        self.asked.append([*keys])
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.stopped = True
            raise
        if self.broken:
            raise Fetched
        return {key: ValueError(key) if key < 0 else 2 * key for key in keys}


@pytest.fixture
async def store() -> Store:
    return Store()


@pytest.fixture
async def loader(store: Store) -> Loader[int, int]:
    return Loader(store.fetch)


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_siblings_share_a_batch(loader: Loader[int, int], store: Store) -> None:
    found = await asyncio.gather(loader.load(1), loader.load(2), loader.load_many([2, 3, 3]))

    assert found == [2, 4, [4, 6, 6]]
    assert store.asked == [[1, 2, 3]]


async def test_what_was_found_is_remembered(loader: Loader[int, int], store: Store) -> None:
    await loader.load_many([1, 2])

    assert await loader.find([2, 3]) == {2: 4, 3: 6}
    assert await loader.find([]) == {}
    assert store.asked == [[1, 2], [3]]


async def test_it_asks_at_once_and_answers_when_awaited(loader: Loader[int, int], store: Store) -> None:
    ones, others = loader.find([1]), loader.find([2])

    assert [await ones, await others] == [{1: 2}, {2: 4}]
    assert store.asked == [[1, 2]]


async def test_who_asks_for_what_is_under_way_waits_for_it(loader: Loader[int, int], store: Store) -> None:
    store.go_on.clear()
    first = asyncio.create_task(loader.load(1))
    await turns()
    second = asyncio.create_task(loader.load_many([1, 2]))
    await turns()
    store.go_on.set()

    assert await asyncio.gather(first, second) == [2, [2, 4]]
    assert store.asked == [[1], [2]]


async def test_what_goes_wrong_with_one_key_is_told_to_who_asks_for_it(loader: Loader[int, int]) -> None:
    good, bad = await asyncio.gather(loader.load(1), loader.load(-1), return_exceptions=True)
    found = await loader.find([1, -1])

    assert (good, repr(bad)) == (2, "ValueError(-1)")
    assert (found[1], repr(found[-1])) == (2, "ValueError(-1)")
    with pytest.raises(ValueError, match="-1"):
        await loader.load_many([1, -1])


async def test_a_batch_that_fails_does_so_for_all_who_wait_and_for_nobody_later(
    loader: Loader[int, int], store: Store
) -> None:
    store.broken = True
    failed = await asyncio.gather(loader.load(1), loader.load_many([1, 2]), return_exceptions=True)
    store.broken = False

    assert [type(one) for one in failed] == [Fetched, Fetched]
    assert await loader.load_many([1, 2]) == [2, 4]


async def test_who_stops_waiting_does_not_stop_it_for_others(loader: Loader[int, int], store: Store) -> None:
    store.go_on.clear()
    impatient, patient = asyncio.create_task(loader.load(1)), asyncio.create_task(loader.load(1))
    await turns()
    impatient.cancel()
    await turns()
    store.go_on.set()

    assert await patient == 2
    assert impatient.cancelled()


@pytest.mark.parametrize("before", [0, 1, 5])
async def test_what_nobody_waits_for_any_more_is_stopped_and_fetched_anew(
    loader: Loader[int, int], store: Store, before: int
) -> None:
    store.go_on.clear()
    impatient = asyncio.create_task(loader.load(1))
    await turns(1 + before)
    impatient.cancel()
    again = asyncio.create_task(loader.load(1))
    await turns()
    store.go_on.set()

    assert await again == 2
    assert store.stopped == (before > 0)


async def test_who_waited_for_several_batches_leaves_them_to_others(loader: Loader[int, int], store: Store) -> None:
    store.go_on.clear()
    first = asyncio.create_task(loader.load(1))
    await turns()
    both = asyncio.create_task(loader.load_many([1, 2]))
    await turns()
    both.cancel()
    await turns()
    store.go_on.set()

    assert await first == 2
    assert await loader.load(2) == 4
    assert store.asked == [[1], [2], [2]]


async def test_what_was_given_up_is_fetched_for_who_waits_then(loader: Loader[int, int], store: Store) -> None:
    store.go_on.clear()
    later, impatient = loader.find([1]), asyncio.create_task(loader.load(1))
    await turns()
    impatient.cancel()
    await turns()
    store.go_on.set()

    assert await later == {1: 2}
    assert store.asked == [[1], [1]]


async def test_groups_are_fetched_side_by_side_and_fail_alone() -> None:
    asked: list[tuple[str, list[int]]] = []

    async def load(group: str, members: list[int]) -> list[int]:
        asked.append((group, members))
        if group == "bad":
            raise Fetched
        return [10 * member for member in members]

    loader = group_loader(load)
    found = await loader.find([("good", 1), ("bad", 1), ("good", 2), ("fine", 3)])

    assert asked == [("good", [1, 2]), ("bad", [1]), ("fine", [3])]
    assert isinstance(found.pop(("bad", 1)), Fetched)
    assert found == {("good", 1): 10, ("good", 2): 20, ("fine", 3): 30}


ACTS = st.tuples(st.integers(0, 4), st.lists(st.integers(-2, 6), max_size=6), st.booleans())


@settings(max_examples=200)
@given(st.lists(ACTS, max_size=8))
def test_whoever_asks_whenever_gets_what_it_asked_for_and_nothing_is_fetched_twice(
    acts: list[tuple[int, list[int], bool]],
) -> None:
    async def ask(loader: Loader[int, int], later: int, keys: list[int]) -> dict[int, str]:
        await turns(later)
        return {key: repr(one) for key, one in (await loader.find(keys)).items()}

    async def scenario() -> None:
        store = Store()
        loader = Loader(store.fetch)
        asking = [asyncio.create_task(ask(loader, later, keys)) for later, keys, _ in acts]
        await turns(2)
        for task, (_, _, given_up) in zip(asking, acts, strict=True):
            if given_up:
                task.cancel()
        found = await asyncio.gather(*asking, return_exceptions=True)
        for one, (_, keys, given_up) in zip(found, acts, strict=True):
            expected = {key: repr(ValueError(key)) if key < 0 else repr(2 * key) for key in keys}
            assert one == expected or (given_up and isinstance(one, asyncio.CancelledError))
        fetched = [key for keys in store.asked for key in keys if key >= 0]
        assert len(fetched) == len(set(fetched)) or any(given_up for *_, given_up in acts)

    asyncio.run(scenario())


async def test_one_that_hurries_lets_another_gather(store: Store) -> None:
    gathering = Loader(store.fetch, cache=False)
    one, other = (Loader(gathering.find, batch=False) for _ in range(2))

    found = await asyncio.gather(one.load(1), one.load_many([1, 2]), other.load_many([2, 3]))
    with pytest.raises(ValueError, match="-1"):
        await one.load(-1)

    assert found == [2, [2, 4], [4, 6]]
    assert await one.find([1, 2]) == {1: 2, 2: 4}
    assert store.asked == [[1, 2, 3], [-1]]


async def test_one_that_forgets_answers_nobody_with_what_was_asked_before(store: Store) -> None:
    loader = Loader(store.fetch, cache=False)
    store.go_on.clear()
    first, beside = asyncio.create_task(loader.load_many([1, 2])), asyncio.create_task(loader.load(2))
    await turns()
    later = asyncio.create_task(loader.load(2))
    await turns()
    store.go_on.set()

    assert await asyncio.gather(first, beside, later) == [[2, 4], 4, 4]
    assert store.asked == [[1, 2], [2]]
