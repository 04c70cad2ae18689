"""How the demo is to run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoOptions:
    """As the settings say. seed: None for the database's own, or 1. speed: the fleet's seconds in a real one.

    fault_seconds: real ones from one fault to the next, on average; 0 for no faults.
    """

    seed: int | None = None
    speed: float = 30.0
    fault_seconds: float = 90.0
