"""Units of time in each other's terms, once for all rooms."""

from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
DAY_SECONDS: Final = 86_400
DAY_MINUTES: Final = 1_440
