"""Examples to learn root causes from: events of simulated incidents, with the causes of the faults that they show."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CLASSIFIED, RootCause
from ml.catalogue.topology import Plant
from ml.numerics.arrays import Floats, Integers
from ml.root_cause.analysis import features_of
from ml.root_cause.evaluation import SLACK_MS
from ml.root_cause.event_features import shown
from ml.root_cause.events import Event, events
from ml.root_cause.incidents import Scenario, Truth, truths
from ml.root_cause.localization import Explanation, explanations
from ml.root_cause.report import Request
from ml.root_cause.residuals import residuals
from ml.simulation.fleet_topology import build_topology

SAME_SHARE: Final = 0.5  # of an event's and a fault's link directions: it is about it
SEEN_SHARE: Final = 0.6  # of a fault's link directions, which an event may show at least


@dataclass(frozen=True)
class Example:
    """An event of an incident, the cause of the fault that it is about, and what could explain it.

    features (10,): the classifier's, None where the signal does not show the event.
    """

    cause: RootCause
    explained: list[Explanation]
    features: Floats | None

    @property
    def classified(self) -> bool:
        """The classifier can learn from it."""
        return self.features is not None and self.cause in CLASSIFIED


def examples_of(incident: Scenario, request: Request) -> Iterator[Example]:
    """From an incident and what `request_of` says of it."""
    plant = build_topology(incident.fleet)
    found = residuals(plant, request)
    known = truths(incident)
    for event in events(plant, found):
        cause = _about(plant, event, known, found.at)
        if cause is not None:
            seen = shown(plant, found, event)
            yield Example(cause, explanations(plant, event, seen), features_of(found, event, seen))


def table(examples: Iterable[Example]) -> tuple[Floats, NDArray[np.int64]]:
    """Features (rows, 10) and labels (rows,) of those that the classifier can learn from."""
    rows = [one for one in examples if one.classified]
    features = np.stack([one.features for one in rows if one.features is not None])
    return features, np.array([CLASSIFIED.index(one.cause) for one in rows], dtype=np.int64)


def _about(plant: Plant, event: Event, known: tuple[Truth, ...], at: Integers) -> RootCause | None:
    """The cause of the fault that an event shows, if it is any."""
    links = len(plant.links)
    hit = {(int(plant.links[stream % links]), tuple(Direction)[stream >= links]) for stream in event.hits.tolist()}
    active = at[event.active]
    for truth in known:
        during = ((active >= truth.onset_ms - SLACK_MS) & (active <= truth.end_ms + SLACK_MS)).mean()
        least = SAME_SHARE * max(len(hit), SEEN_SHARE * len(truth.hit))
        if during > SAME_SHARE and len(hit & truth.hit) >= least:
            return truth.cause
    return None
