"""What a process remembers of the database for a while."""

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
    """The `size` most recently used values; each is believed for `seconds` after it was put, or until `invalidate`."""

    def __init__(self, size: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._size, self._seconds, self._clock = size, seconds, clock
        self._entries: OrderedDict[Key, _Entry[Value]] = OrderedDict()
        self.invalidations = 0  # how often; who looks something up remembers it, as a doubt may arise meanwhile

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """The value if it is believed."""
        entry = self._entries.get(key)
        if entry is None or self._clock() - entry.since >= self._seconds:
            return None
        self._entries.move_to_end(key)
        return entry.value

    def get_stale(self, key: Key) -> Value | None:
        """The value, believed or not."""
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    def put(self, key: Key, value: Value, invalidations: int | None = None) -> None:
        """`invalidations`: as they were when the value was looked up; if there are more by now, it is not believed."""
        believed = invalidations is None or invalidations == self.invalidations
        self._entries[key] = _Entry(value, self._clock() if believed else -math.inf)
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def invalidate(self) -> None:
        """Believe nothing of it any more."""
        self.invalidations += 1
        for entry in self._entries.values():
            entry.since = -math.inf
