"""The model behind root causes."""

from dataclasses import dataclass

from ml.events import Event
from ml.localization import Explanation
from ml.plant import Plant
from ml.residuals import Residuals


@dataclass(frozen=True)
class RootCauseModel:
    version: str = ""

    def judged(self, plant: Plant, found: Residuals, event: Event, explained: list[Explanation]) -> list[Explanation]:
        return explained

    def confidence(self, explained: list[Explanation]) -> float:
        return explained[0].probability
