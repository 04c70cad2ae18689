"""Training examples: events of simulated incidents, with the causes of the faults that they show."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.metrics import Direction
from ml.catalogue.root_causes import CLASSIFIED, CulpritKind, RootCause
from ml.catalogue.topology import Topology
from ml.numerics.arrays import Floats, Integers
from ml.root_cause.analysis import extract_classifier_input
from ml.root_cause.evaluation import SLACK_MS
from ml.root_cause.event_features import extract_features
from ml.root_cause.events import Event, detect_events
from ml.root_cause.localization import Explanation, explain_event
from ml.root_cause.report import Request
from ml.root_cause.residuals import compute_residuals
from ml.root_cause.scenario import Scenario
from ml.root_cause.truths import Truth, compute_truths
from ml.simulation.fleet_topology import build_topology

SAME_SHARE: Final = 0.5  # of an event's time, and of its and a fault's streams, from which it shows the fault
SEEN_SHARE: Final = 0.6  # of a fault's streams that an event is expected to show


@dataclass(frozen=True)
class Example:
    """An event, the cause and the culprit of the fault that it shows, and its explanations.

    culprit: its kind, and its index in the topology. alarmed: that its links misbehave was known.
    features: the classifier's, shape (10,), None where the signal does not show the event.
    """

    cause: RootCause
    culprit: tuple[CulpritKind, int]
    explanations: list[Explanation]
    features: Floats | None
    alarmed: bool = False

    @property
    def is_classifiable(self) -> bool:
        """Whether the classifier can learn from it."""
        return self.features is not None and self.cause in CLASSIFIED

    def is_right(self, explanation: Explanation) -> bool:
        """Returns whether an explanation names the true cause and the true culprit."""
        candidate = explanation.candidate
        blamed = None if candidate is None else (candidate.kind, candidate.index)
        return explanation.cause is self.cause and blamed == self.culprit


def extract_examples(incident: Scenario, request: Request, topology: Topology | None = None) -> Iterator[Example]:
    """Yields the examples of an incident.

    request: the incident's, from `build_request` or `build_alarmed_request`. topology: the fleet's, if not all of it
    is in scope.
    """
    topology = topology or build_topology(incident.fleet)
    residuals = compute_residuals(topology, request)
    truths = compute_truths(incident)
    for event in detect_events(topology, residuals):
        truth = _truth_of(topology, event, truths, residuals.at)
        if truth is not None:
            event_features = extract_features(topology, residuals, event)
            features = extract_classifier_input(residuals, event, event_features)
            explanations = explain_event(topology, event, event_features)
            yield Example(truth.cause, _locate(topology, *truth.culprit), explanations, features, request.alarmed)


def stack_examples(examples: Iterable[Example]) -> tuple[Floats, Integers]:
    """Returns features (rows, 10) and labels (rows,) of the examples that the classifier can learn from."""
    rows = [one for one in examples if one.is_classifiable]
    features = np.stack([one.features for one in rows if one.features is not None])
    return features, np.array([CLASSIFIED.index(one.cause) for one in rows], dtype=np.int64)


def _truth_of(topology: Topology, event: Event, truths: tuple[Truth, ...], at: Integers) -> Truth | None:
    """Returns the truth of the fault that an event shows, None if it shows none."""
    links = len(topology.links)
    streams = event.affected_streams.tolist()
    affected = {(int(topology.links[stream % links]), tuple(Direction)[stream >= links]) for stream in streams}
    active = at[event.active]
    for truth in truths:
        during = ((active >= truth.onset_ms - SLACK_MS) & (active <= truth.end_ms + SLACK_MS)).mean()
        least = SAME_SHARE * max(len(affected), SEEN_SHARE * len(truth.affected))
        if during > SAME_SHARE and len(affected & truth.affected) >= least:
            return truth
    return None


def _locate(topology: Topology, kind: CulpritKind, key: int) -> tuple[CulpritKind, int]:
    """Returns a culprit by its index in the topology, from its key."""
    return kind, topology.keys(kind).tolist().index(key)
