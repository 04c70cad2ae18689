"""A cache of what takes long to look up: least recently used, with a time to live."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(slots=True)
class _Entry(Generic[Value]):
    value: Value
    since: float


class LruCache(Generic[Key, Value]):
    """Keeps the `size` most recently used values. Each is fresh for `seconds`, or until `invalidate`."""

    def __init__(self, size: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._size, self._seconds, self._clock = size, seconds, clock
        self._entries: OrderedDict[Key, _Entry[Value]] = OrderedDict()
        self.invalidations = 0  # counted, because one may come while a value is being looked up

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """Returns the value if it is fresh."""
        entry = self._entries.get(key)
        if entry is None or self._clock() - entry.since >= self._seconds:
            return None
        self._entries.move_to_end(key)
        return entry.value

    def get_stale(self, key: Key) -> Value | None:
        """Returns the value, fresh or not."""
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    def put(self, key: Key, value: Value, invalidations: int | None = None) -> None:
        """invalidations: the count when the value was looked up; if there are more now, the value is stale."""
        believed = invalidations is None or invalidations == self.invalidations
        self._entries[key] = _Entry(value, self._clock() if believed else -math.inf)
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def invalidate(self) -> None:
        """Makes all values stale."""
        self.invalidations += 1
        for entry in self._entries.values():
            entry.since = -math.inf
