"""Examples to learn root causes from: events of simulated incidents, with the causes of the faults that they show."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CLASSIFIED, RootCause
from ml.catalogue.topology import Topology
from ml.numerics.arrays import Floats, Integers
from ml.root_cause.analysis import extract_classifier_input
from ml.root_cause.evaluation import SLACK_MS
from ml.root_cause.event_features import extract_features
from ml.root_cause.events import Event, detect_events
from ml.root_cause.incidents import Scenario, Truth, compute_truths
from ml.root_cause.localization import Explanation, explain_event
from ml.root_cause.report import Request
from ml.root_cause.residuals import compute_residuals
from ml.simulation.fleet_topology import build_topology

SAME_SHARE: Final = 0.5  # of an event's and a fault's link directions: it is about it
SEEN_SHARE: Final = 0.6  # of a fault's link directions, which an event may show at least


@dataclass(frozen=True)
class Example:
    """An event of an incident, the cause of the fault that it is about, and what could explain it.

    features (10,): the classifier's, None where the signal does not show the event.
    """

    cause: RootCause
    explanations: list[Explanation]
    features: Floats | None

    @property
    def is_classifiable(self) -> bool:
        """The classifier can learn from it."""
        return self.features is not None and self.cause in CLASSIFIED


def extract_examples(incident: Scenario, request: Request) -> Iterator[Example]:
    """From an incident and what `build_request` says of it."""
    topology = build_topology(incident.fleet)
    residuals = compute_residuals(topology, request)
    known = compute_truths(incident)
    for event in detect_events(topology, residuals):
        cause = _about(topology, event, known, residuals.at)
        if cause is not None:
            event_features = extract_features(topology, residuals, event)
            yield Example(
                cause,
                explain_event(topology, event, event_features),
                extract_classifier_input(residuals, event, event_features),
            )


def stack_examples(examples: Iterable[Example]) -> tuple[Floats, Integers]:
    """Features (rows, 10) and labels (rows,) of those that the classifier can learn from."""
    rows = [one for one in examples if one.is_classifiable]
    features = np.stack([one.features for one in rows if one.features is not None])
    return features, np.array([CLASSIFIED.index(one.cause) for one in rows], dtype=np.int64)


def _about(topology: Topology, event: Event, known: tuple[Truth, ...], at: Integers) -> RootCause | None:
    """The cause of the fault that an event shows, if it is any."""
    links = len(topology.links)
    affected = {
        (int(topology.links[stream % links]), tuple(Direction)[stream >= links])
        for stream in event.affected_streams.tolist()
    }
    active = at[event.active]
    for truth in known:
        during = ((active >= truth.onset_ms - SLACK_MS) & (active <= truth.end_ms + SLACK_MS)).mean()
        least = SAME_SHARE * max(len(affected), SEEN_SHARE * len(truth.affected))
        if during > SAME_SHARE and len(affected & truth.affected) >= least:
            return truth.cause
    return None
