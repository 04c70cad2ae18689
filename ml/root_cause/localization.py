"""Fault localization: every pair of culprit and cause that could explain an event, with its log-likelihood.

Links and their shared risks are a graph: satellite, transponder, network, hub; network, link, site. A hypothesis says
which streams are affected. Affected streams elsewhere and healthy streams within speak against it; what was not
measured says nothing. The features of the affected streams are compared with the cause's signature.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.catalogue.topology import Topology
from ml.root_cause.candidates import CulpritCandidate, find_candidates
from ml.root_cause.event_features import EventFeatures
from ml.root_cause.events import Event
from ml.root_cause.signature import DirectionMask, Feature, Signature
from ml.root_cause.signatures import SIGNATURES

HIT_IF_MEMBER: Final = 0.96
MOST_MEMBERS: Final = 12  # that count: those of a larger group are no independent witnesses
UNEXPLAINED: Final = 14.0  # nats, if all affected streams are elsewhere
NEGLIGIBLE: Final = 0.25  # membership: of hundreds of streams those below it would add up
UNMEASURED: Final = 6.0  # nats, if no member was measured
HOPELESS: Final = 16.0  # nats
UNKNOWN_SCORE: Final = -11.0  # nats: an explanation must be better than none
RARITY, HEALTHY, ELSEWHERE, COINCIDENCE = "rarity", "healthy", "elsewhere", "coincidence"  # keys of `against`

Summaries = dict[bytes, dict[Feature, float]]  # features by members, as several causes have the same


@dataclass(frozen=True)
class Explanation:
    """A cause with its culprit.

    candidate: None for an unknown cause. score: log-likelihood, nats. against: nats against it, their sum is minus the
    score, by `RARITY` (of the signature and its direction), `HEALTHY` (members), `ELSEWHERE` (affected streams),
    `COINCIDENCE` (rain only) and the features that the signature expects. features: of the affected members.
    probability: 0 until the model has ranked all explanations of the event.
    """

    cause: RootCause
    candidate: CulpritCandidate | None
    score: float
    against: dict[str, float]
    features: dict[Feature, float]
    probability: float = 0.0


def explain_event(topology: Topology, event: Event, event_features: EventFeatures) -> list[Explanation]:
    """Returns all possible explanations, by the best signature of each culprit and cause, and UNKNOWN."""
    best = dict[tuple[RootCause, CulpritKind, int], Explanation]()
    summaries = Summaries()
    signatures = [signature for signature in SIGNATURES if event.channel in signature.channels]
    for signature, direction_mask in [(one, mask) for one in signatures for mask in one.direction_masks]:
        for candidate in find_candidates(topology, event, event_features, signature, direction_mask):
            explanation = _explain(topology, event, event_features, signature, candidate, direction_mask, summaries)
            key = (signature.cause, candidate.kind, candidate.index)
            if explanation and (key not in best or best[key].score < explanation.score):
                best[key] = explanation
    return [*best.values(), Explanation(RootCause.UNKNOWN, None, UNKNOWN_SCORE, {}, {})]


def _explain(
    topology: Topology,
    event: Event,
    event_features: EventFeatures,
    signature: Signature,
    candidate: CulpritCandidate,
    direction_mask: DirectionMask,
    summaries: Summaries,
) -> Explanation | None:
    """Returns an explanation with its score, or None if its features cannot make it plausible any more."""
    rarity = signature.rarity + signature.direction_cost(direction_mask)
    against = {RARITY: rarity} | _coverage(topology, event, signature, candidate)
    if signature.cause is RootCause.RAIN_FADE and not signature.at_hub:
        against[COINCIDENCE] = event_features.coincidence
    if sum(against.values()) > HOPELESS:
        return None
    members = candidate.members.tobytes()
    if members not in summaries:
        summaries[members] = event_features.summarize(candidate.members)
    features = summaries[members]
    against |= signature.against(features)
    return Explanation(signature.cause, candidate, -sum(against.values()), against, features)


def _coverage(topology: Topology, event: Event, signature: Signature, candidate: CulpritCandidate) -> dict[str, float]:
    """Returns nats against a candidate, for healthy members and for affected streams elsewhere.

    Each of the candidate's networks counts by its members, of a large one `MOST_MEMBERS`: that a small one is healthy
    is not outweighed by the size of another.
    """
    weight = np.where(event.membership < NEGLIGIBLE, 0.0, event.membership) * event.evidence
    members = candidate.members & event.evidence
    inside, count = float(weight[members].sum()), int(members.sum())
    if not count:
        return {HEALTHY: UNMEASURED, ELSEWHERE: UNEXPLAINED}
    network = np.tile(topology.network, 2)[members]
    of_network = np.bincount(network)
    affected = np.bincount(network, weight[members])
    counted = np.minimum(of_network, MOST_MEMBERS)
    share = float((counted * affected / np.maximum(1, of_network)).sum() / counted.sum())
    cost = -(share * np.log(HIT_IF_MEMBER) + (1.0 - share) * np.log(1.0 - HIT_IF_MEMBER))
    total = float(weight.sum())
    return {
        HEALTHY: float(signature.healthy_member_weight * min(count, MOST_MEMBERS) * cost),
        ELSEWHERE: UNEXPLAINED * (total - inside) / max(1e-6, total),
    }
