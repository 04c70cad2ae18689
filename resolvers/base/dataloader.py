"""Loads values in batches: keys that are asked for in the same turn of the event loop share one query."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator, Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Group = TypeVar("Group", bound=Hashable)
Member = TypeVar("Member", bound=Hashable)


class Loader(Generic[Key, Value]):
    """Finds values by their keys, many at once, and remembers them; create one per operation or per event.

    fetch: returns a value or an exception for each key.
    cache=False: remembers nothing, so that one loader can serve a whole process.
    batch=False: fetches at once; use it in front of another loader that batches.
    Failures are never remembered.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value | BaseException]]],
        *,
        cache: bool = True,
        batch: bool = True,
    ) -> None:
        self._fetch = fetch
        self._caches, self._batches = cache, batch
        self._cached: dict[Key, Value] = {}
        self._pending: dict[Key, _Batch[Key, Value]] = {}  # being gathered or fetched
        self._gathered: _Batch[Key, Value] | None = None

    def find(self, keys: Iterable[Key]) -> "Lookup[Key, Value]":
        """Begins to look the keys up. Awaiting the result gives a value or an exception for each key."""
        known, asked = self._cached, self._pending
        found: dict[Key, Value | BaseException] = {}
        batches: dict[_Batch[Key, Value], list[Key]] = {}
        for key in keys:
            if key in known:
                found[key] = known[key]
            else:
                batches.setdefault(asked.get(key) or self._gather(key), []).append(key)
        return Lookup(found, batches)

    async def load(self, key: Key) -> Value:
        """Returns the value. Raises the exception that `fetch` returned for the key."""
        return _value_or_raise((await self.find((key,)))[key])

    async def load_many(self, keys: Iterable[Key]) -> list[Value]:
        """Returns the values in the order of the keys. Raises the first exception."""
        keys = list(keys)
        found = await self.find(keys)
        return [_value_or_raise(found[key]) for key in keys]

    def _gather(self, key: Key) -> "_Batch[Key, Value]":
        batch = self._gathered
        if batch is None:
            batch = self._gathered = _Batch(self)
        batch.keys.append(key)
        self._pending[key] = batch
        return batch

    async def run(self, batch: "_Batch[Key, Value]") -> Mapping[Key, Value | BaseException]:
        """Returns a value or an exception for each key of the batch."""
        if self._batches:
            await asyncio.sleep(0)  # those who ask a turn later come along
        if self._gathered is batch:
            self._gathered = None
        if not self._caches:
            self.forget(batch)
        try:
            found = await self._fetch(batch.keys)
        except Exception as error:  # noqa: BLE001  it is raised again by all who wait
            found = dict.fromkeys(batch.keys, error)
        if self._caches:
            self.forget(batch)
            self._cached.update({key: one for key, one in found.items() if not isinstance(one, BaseException)})
        return found

    def forget(self, batch: "_Batch[Key, Value]") -> None:
        """Lets nobody else join the batch."""
        if self._gathered is batch:
            self._gathered = None
        for key in batch.keys:
            self._pending.pop(key, None)


class Lookup(Generic[Key, Value]):
    """A lookup under way: cached values, and the batches that the other keys are in. Await it once."""

    __slots__ = ("_batches", "_found")

    def __init__(self, found: dict[Key, Value | BaseException], batches: "dict[_Batch[Key, Value], list[Key]]") -> None:
        self._found, self._batches = found, batches
        for batch in batches:
            batch.waiting += 1

    def __await__(self) -> Generator[Any, None, dict[Key, Value | BaseException]]:
        try:
            for batch, keys in sorted(self._batches.items(), key=_is_led):
                answer = batch.answer
                if answer is None:
                    answer = yield from batch.wait().__await__()
                self._found.update({key: answer[key] for key in keys})
        finally:
            for batch in self._batches:
                batch.leave()
        return self._found


def _is_led(batch: "tuple[_Batch[Any, Any], Any]") -> bool:
    """Sorts batches that nobody fetches yet first."""
    return batch[0].is_led


class _Batch(Generic[Key, Value]):
    """Keys that are fetched together, by the first task that waits for them; if it is cancelled, by another."""

    __slots__ = ("_loader", "_others", "answer", "is_led", "keys", "waiting")

    def __init__(self, loader: Loader[Key, Value]) -> None:
        self.keys: list[Key] = []
        self.waiting = 0
        self.answer: Mapping[Key, Value | BaseException] | None = None
        self._loader = loader
        self.is_led = False
        self._others: list[asyncio.Future[None]] = []  # who are told when whoever fetches is done, well or not

    async def wait(self) -> Mapping[Key, Value | BaseException]:
        """Returns a value or an exception for each key."""
        while self.answer is None:
            if not self.is_led:
                await self._lead()
            else:
                self._others.append(asyncio.get_running_loop().create_future())
                await self._others[-1]
        return self.answer

    async def _lead(self) -> None:
        self.is_led = True
        try:
            self.answer = await self._loader.run(self)
        finally:
            self.is_led = False
            others, self._others = self._others, []
            for other in others:
                if not other.done():  # it may have left
                    other.set_result(None)

    def leave(self) -> None:
        """Says that one task less waits for it."""
        self.waiting -= 1
        if not self.waiting and self.answer is None:
            self._loader.forget(self)


def _value_or_raise(found: Value | BaseException) -> Value:
    if isinstance(found, BaseException):
        raise found
    return found


def group_loader(
    load: Callable[[Group, list[Member]], Awaitable[list[Value]]],
) -> Loader[tuple[Group, Member], Value]:
    """Returns a loader of (group, member) that calls `load` once per group, concurrently; each group fails alone."""

    async def fetch(pairs: Sequence[tuple[Group, Member]]) -> dict[tuple[Group, Member], Value | BaseException]:
        groups = defaultdict[Group, list[Member]](list)
        for group, member in pairs:
            groups[group].append(member)
        loads = (load(group, members) for group, members in groups.items())
        results = await asyncio.gather(*loads, return_exceptions=True)
        found: dict[tuple[Group, Member], Value | BaseException] = {}
        for (group, members), values in zip(groups.items(), results, strict=True):
            each: list[Any] = [values] * len(members) if isinstance(values, BaseException) else values
            found |= {(group, member): value for member, value in zip(members, each, strict=True)}
        return found

    return Loader(fetch)
