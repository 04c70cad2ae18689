"""Who is at fault, and why: every pair of culprit and cause that could explain an event, weighed against each other.

The links and what they share are a graph: satellite, transponder, network, hub; network, link, site. A hypothesis says
which directions ought to be hit; those hit elsewhere and those healthy within speak against it, whatever was not
measured is silent. What the hit ones show is held against the cause's signature.
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
MOST_MEMBERS: Final = 12  # count: those of a larger group are no independent witnesses
UNEXPLAINED: Final = 14.0  # nats, were all hits elsewhere
UNMEASURED: Final = 6.0  # nats, where no member was measured
HOPELESS: Final = 16.0  # nats
UNKNOWN_SCORE: Final = -11.0  # nats: an explanation must be better than none
RARITY, HEALTHY, ELSEWHERE, COINCIDENCE = "rarity", "healthy", "elsewhere", "coincidence"  # what speaks against one

Known = dict[bytes, dict[Feature, float]]  # features by members, as several causes have the same


@dataclass(frozen=True)
class Explanation:
    """A cause with a suspect, None of an unknown cause; score: log-likelihood, nats.

    against: nats that speak against it, minus the score in sum: by `RARITY` (of the signature and of its way),
    `HEALTHY` (members), `ELSEWHERE` (hits), `COINCIDENCE` (of rain alone) and the features that the signature expects.
    features: of the members hit. probability: 0 until the model has weighed all explanations of the event.
    """

    cause: RootCause
    candidate: CulpritCandidate | None
    score: float
    against: dict[str, float]
    features: dict[Feature, float]
    probability: float = 0.0


def explain_event(topology: Topology, event: Event, event_features: EventFeatures) -> list[Explanation]:
    """All that are possible; for each culprit and cause the best signature. The last resort is UNKNOWN."""
    best = dict[tuple[RootCause, CulpritKind, int], Explanation]()
    known = Known()
    direction_masks = [
        (one, direction_mask)
        for one in SIGNATURES
        if event.channel in one.channels
        for direction_mask in one.direction_masks
    ]
    for signature, direction_mask in direction_masks:
        for candidate in find_candidates(topology, event, event_features, signature, direction_mask):
            one = _explain(event, event_features, signature, candidate, direction_mask, known)
            key = (signature.cause, candidate.kind, candidate.index)
            if one and (key not in best or best[key].score < one.score):
                best[key] = one
    return [*best.values(), Explanation(RootCause.UNKNOWN, None, UNKNOWN_SCORE, {}, {})]


def _explain(
    event: Event,
    event_features: EventFeatures,
    signature: Signature,
    candidate: CulpritCandidate,
    direction_mask: DirectionMask,
    known: Known,
) -> Explanation | None:
    """None where it is so poor that its features need not be looked at."""
    against = {RARITY: signature.rarity + signature.direction_cost(direction_mask)} | _coverage(
        event, signature, candidate
    )
    if signature.cause is RootCause.RAIN_FADE and not signature.at_hub:
        against[COINCIDENCE] = event_features.coincidence
    if sum(against.values()) > HOPELESS:
        return None
    members = candidate.members.tobytes()
    if members not in known:
        known[members] = event_features.summarize(candidate.members)
    features = known[members]
    against |= {feature.value: one.against(features[feature]) for feature, one in signature.expects.items()}
    return Explanation(signature.cause, candidate, -sum(against.values()), against, features)


def _coverage(event: Event, signature: Signature, candidate: CulpritCandidate) -> dict[str, float]:
    """Nats against a suspect: for its healthy members, and for hits that it does not explain."""
    weight = event.membership * event.evidence
    members = candidate.members & event.evidence
    inside, count = float(weight[members].sum()), int(members.sum())
    if not count:
        return {HEALTHY: UNMEASURED, ELSEWHERE: UNEXPLAINED}
    share = inside / count
    cost = -(share * np.log(HIT_IF_MEMBER) + (1.0 - share) * np.log(1.0 - HIT_IF_MEMBER))
    total = float(weight.sum())
    return {
        HEALTHY: float(signature.healthy_member_weight * min(count, MOST_MEMBERS) * cost),
        ELSEWHERE: UNEXPLAINED * (total - inside) / max(1e-6, total),
    }
