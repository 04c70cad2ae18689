"""Times as the samples have them: epoch milliseconds, UTC."""

from datetime import UTC, datetime, timedelta
from typing import Final

MAX_CLOCK_AHEAD: Final = timedelta(minutes=5)  # of a terminal's clock, or a client's, before the server's


def to_ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
