"""What a request costs the server: CPU of its event loop, and memory at its peak, as Linux counts them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

TRIES = 3  # the cheapest counts: garbage collection and the allocator's growth come by chance
FORGET_PEAK = "5"  # proc(5), clear_refs: VmHWM begins anew at what is resident now


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds of the event loop's thread, and MB beyond what was resident before."""

    milliseconds: float
    megabytes: float

    def exceeds(self, allowed: "Cost") -> bool:
        return self.milliseconds > allowed.milliseconds or self.megabytes > allowed.megabytes

    def __str__(self) -> str:
        return f"{self.milliseconds:.0f} ms of the event loop, {self.megabytes:.1f} MB"


class Meter:
    """Measures a server process of our own user."""

    def __init__(self, pid: int) -> None:
        self._process = Path(f"/proc/{pid}")
        self._loop = self._process / "task" / str(pid) / "schedstat"  # the loop runs in the main thread

    async def measure(self, send: Callable[[], Awaitable[object]], allowed: Cost) -> Cost:
        """Sends it until it costs no more than allowed, at most three times. Returns the least of each measure."""
        least = await self._measure_once(send)
        for _ in range(TRIES - 1):
            if not least.exceeds(allowed):
                break
            again = await self._measure_once(send)
            least = Cost(min(least.milliseconds, again.milliseconds), min(least.megabytes, again.megabytes))
        return least

    async def _measure_once(self, send: Callable[[], Awaitable[object]]) -> Cost:
        (self._process / "clear_refs").write_text(FORGET_PEAK)
        before, resident = self._loop_nanoseconds(), self._kilobytes("VmRSS")
        await send()
        spent = (self._loop_nanoseconds() - before) / 1e6
        return Cost(spent, (self._kilobytes("VmHWM") - resident) / 1024)

    def _loop_nanoseconds(self) -> int:
        return int(self._loop.read_text().split()[0])

    def _kilobytes(self, name: str) -> int:
        status = (self._process / "status").read_text()
        return int(status.split(f"{name}:")[1].split()[0])
