"""The catalogue of root causes, and of the kinds of culprits."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class RootCause(StrEnum):
    """The first four are the classifier's classes; the others explain the same symptoms."""

    EQUIPMENT_FAILURE = "EQUIPMENT_FAILURE"
    ANTENNA_ALIGNMENT = "ANTENNA_ALIGNMENT"
    SATELLITE_INTERFERENCE = "SATELLITE_INTERFERENCE"
    ANTENNA_MISALIGNMENT = "ANTENNA_MISALIGNMENT"
    RAIN_FADE = "RAIN_FADE"
    SUN_TRANSIT = "SUN_TRANSIT"
    CONGESTION = "CONGESTION"
    REMOTE_EQUIPMENT = "REMOTE_EQUIPMENT"
    POWER_OUTAGE = "POWER_OUTAGE"
    BLOCKAGE = "BLOCKAGE"
    UNKNOWN = "UNKNOWN"


class CulpritKind(StrEnum):
    """What can be at fault."""

    SATELLITE = "SATELLITE"  # one transponder of it
    SITE = "SITE"  # a hub or a remote
    NETWORK = "NETWORK"
    LINK = "LINK"


@dataclass(frozen=True)
class CauseSpec:
    """A cause in words."""

    cause: RootCause
    title: str  # of an incident, before the culprit's name
    meaning: str  # completes "… suffers from "

    @property
    def pattern_type(self) -> str:
        """The API's `patternType`."""
        return self.cause.value.lower()


CAUSES: Final[dict[RootCause, CauseSpec]] = {
    spec.cause: spec
    for spec in (
        CauseSpec(
            RootCause.EQUIPMENT_FAILURE,
            "Hub chain failure",
            "a failure in its hub chain (modulator, amplifier, demodulator)",
        ),
        CauseSpec(
            RootCause.ANTENNA_ALIGNMENT, "Hub antenna misaligned", "a hub antenna that points beside the satellite"
        ),
        CauseSpec(RootCause.SATELLITE_INTERFERENCE, "Interference", "interference on a transponder"),
        CauseSpec(
            RootCause.ANTENNA_MISALIGNMENT,
            "Remote antenna misaligned",
            "a remote antenna that points beside the satellite",
        ),
        CauseSpec(RootCause.RAIN_FADE, "Rain fade", "rain on the path"),
        CauseSpec(RootCause.SUN_TRANSIT, "Sun transit", "the sun behind the satellite"),
        CauseSpec(RootCause.CONGESTION, "Congestion", "more traffic than the carrier holds"),
        CauseSpec(
            RootCause.REMOTE_EQUIPMENT, "Remote equipment failure", "a failing transmitter or receiver at the remote"
        ),
        CauseSpec(RootCause.POWER_OUTAGE, "Power outage", "a site without electricity"),
        CauseSpec(RootCause.BLOCKAGE, "Blockage", "something between the antenna and the satellite"),
        CauseSpec(RootCause.UNKNOWN, "Unknown cause", "something that fits no known cause"),
    )
}
CLASSIFIED: Final = tuple(RootCause)[:4]  # the classifier's classes
NAMED: Final = tuple(cause for cause in RootCause if cause is not RootCause.UNKNOWN)
