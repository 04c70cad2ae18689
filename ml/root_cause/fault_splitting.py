"""Fault splitting: links that degraded at the same time by chance, each part by a fault of its own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Final

import numpy as np

from ml.catalogue.root_causes import CulpritKind
from ml.catalogue.topology import Topology
from ml.numerics.arrays import Bools
from ml.root_cause.directions import in_any_direction, repeat_for_directions
from ml.root_cause.events import Event
from ml.root_cause.fault_grouping import ExplainedEvent

GOOD: Final = -3.0  # nats: an event that one fault explains so well is not split
COINCIDENCE: Final = 3.0  # nats against each further fault at the same time
MOST_SPLITS: Final = 4  # of an event, or a part of it, that are tried
MOST_TRIED: Final = 12  # parts of an event, about
LEAST_SHARE: Final = 0.1  # of the links, of each part: a link more or less is within what explains the others
MOST_FAULTS: Final = 3

Explain = Callable[[Event], ExplainedEvent]


def split_faults(topology: Topology, event: Event, explain: Explain) -> list[ExplainedEvent]:
    """Returns the event explained by one fault, or by several, each with its links, if that is likelier.

    Likelihoods of faults that are independent multiply: of each further fault it is subtracted that it happens to
    come at the same time. Networks of one hub that fail alike do not: the hub has one fault.

    explain: returns an event as one fault.
    """
    return _Splitter(topology, explain).split(event, MOST_FAULTS)


@dataclass
class _Splitter:
    """tried: parts of the event by their streams, explained."""

    topology: Topology
    explain: Explain
    tried: dict[bytes, ExplainedEvent] = field(default_factory=dict)

    def split(self, event: Event, faults: int) -> list[ExplainedEvent]:
        """faults: at most."""
        whole = self._explain(event)
        best, best_score = [whole], whole.best.score
        if best_score >= GOOD or faults == 1:
            return best
        for mask in _list_splits(whole):
            if len(self.tried) >= MOST_TRIED:
                break
            inside = self._explain(_restrict(event, mask))
            if inside.best.score - COINCIDENCE <= best_score:  # whatever the rest is
                continue
            parts = [inside, *self.split(_restrict(event, ~mask), faults - 1)]
            score = sum(part.best.score for part in parts) - COINCIDENCE * (len(parts) - 1)
            if score > best_score and not _share_hub(self.topology, parts):
                best, best_score = parts, score
        return best

    def _explain(self, event: Event) -> ExplainedEvent:
        key = event.membership.tobytes() + event.evidence.tobytes()
        if key not in self.tried:
            self.tried[key] = self.explain(event)
        return self.tried[key]


def _list_splits(whole: ExplainedEvent) -> Iterator[Bools]:
    """Yields affected streams that a likely culprit would affect while it spares other links, (streams,)."""
    affected, seen = whole.event.membership > 0.5, set[bytes]()
    links = in_any_direction(affected)
    for explanation in sorted(whole.explanations, key=lambda each: -each.score):
        if explanation.candidate is None or len(seen) == MOST_SPLITS:
            continue
        inside = in_any_direction(explanation.candidate.members & affected)
        mask = repeat_for_directions(inside)
        if min(inside.sum(), (links & ~inside).sum()) < max(1, LEAST_SHARE * links.sum()) or mask.tobytes() in seen:
            continue
        seen.add(mask.tobytes())
        yield mask


def _share_hub(topology: Topology, parts: Sequence[ExplainedEvent]) -> bool:
    """Returns whether two of the faults are of networks of one hub, with the same cause."""
    networks = [
        (part.best.cause, int(topology.networks.hub[part.best.candidate.index]))
        for part in parts
        if part.best.candidate is not None and part.best.candidate.kind is CulpritKind.NETWORK
    ]
    return any(left == right for left, right in combinations(networks, 2))


def _restrict(event: Event, mask: Bools) -> Event:
    """Returns the event of these streams only. Of the others that it affects, nothing else is known."""
    others = ~mask & (event.membership > 0.5)
    membership = np.where(mask, event.membership, np.float32(0.0))
    return replace(event, membership=membership, evidence=event.evidence & ~others)
