"""Narration: sentences that say what a pattern is, and the evidence for and against it."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.catalogue.topology import Topology
from ml.root_cause.candidates import CulpritCandidate
from ml.root_cause.degradation import Channel
from ml.root_cause.events import Event
from ml.root_cause.localization import ELSEWHERE, HEALTHY, Explanation
from ml.root_cause.report import Evidence
from ml.root_cause.residuals import LOST_DB
from ml.root_cause.sentences import SENTENCES

WORTH_SAYING: Final = 0.25  # nats
MOST_SENTENCES: Final = 8
# A cause with its culprit's name. Of a lone fault at a remote the link bears the name.
BLAMED: Final = {
    RootCause.EQUIPMENT_FAILURE: "Failing hub chain (modulator, amplifier or demodulator) of {}",
    RootCause.ANTENNA_ALIGNMENT: "Mispointed antenna of {}",
    RootCause.SATELLITE_INTERFERENCE: "Interference on {}",
    RootCause.ANTENNA_MISALIGNMENT: "Mispointed remote antenna of {}",
    RootCause.RAIN_FADE: "Rain at {}",
    RootCause.SUN_TRANSIT: "Sun in the beam of {}",
    RootCause.CONGESTION: "More traffic than {} can carry",
    RootCause.REMOTE_EQUIPMENT: "Failing transmitter or receiver at the remote of {}",
    RootCause.POWER_OUTAGE: "No electricity at {}",
    RootCause.BLOCKAGE: "Blocked view of the satellite at {}",
}
MEMBERS_NATS: Final = 6.0  # if all members are affected, or none


def describe(topology: Topology, event: Event, best: Explanation) -> str:
    """Returns one sentence: why and at whom, and which links are affected and how."""
    links, streams = len(topology.links), event.affected_streams
    alone = len(event.affected_links) == 1
    who = f"link {topology.link_names[int(event.affected_links[0])]}" if alone else f"{len(event.affected_links)} links"
    inbound, outbound = bool((streams < links).any()), bool((streams >= links).any())
    direction = "" if inbound and outbound else " inbound" if inbound else " outbound"
    return f"{_blame(topology, best)}: {who} {_what(event, alone=alone)}{direction}."


def _blame(topology: Topology, best: Explanation) -> str:
    """Returns the cause and its culprit's name."""
    if best.candidate is None:
        return "No known cause fits"
    return BLAMED[best.cause].format(_name(topology, best.candidate))


def _what(event: Event, *, alone: bool) -> str:
    match event.channel:
        case Channel.OUTAGE:
            return "went down"
        case Channel.CONGESTION:
            return f"{'queues' if alone else 'queue'}, with a healthy signal"
        case Channel.SIGNAL:
            depth_db = float(event.profile[event.active].max() * np.median(event.loading[event.affected_streams]))
            return f"lost up to {min(LOST_DB, depth_db):.1f} dB of Es/N0"


def _name(topology: Topology, candidate: CulpritCandidate) -> str:
    """Returns the candidate's name as an operator says it."""
    index = candidate.index
    match candidate.kind:
        case CulpritKind.SATELLITE:
            link = int(np.flatnonzero(candidate.members)[0]) % len(topology.links)
            transponder = topology.transponder_names[topology.transponder[link]]
            satellite = f"satellite {topology.satellite_names[index]}"
            return f"transponder {transponder} of {satellite}" if transponder else satellite
        case CulpritKind.SITE:
            return f"{'hub' if (topology.networks.hub == index).any() else 'site'} {topology.sites.names[index]}"
        case CulpritKind.NETWORK:
            return f"network {topology.networks.names[index]}"
        case CulpritKind.LINK:
            return f"link {topology.link_names[index]}"


def list_evidence(topology: Topology, event: Event, explanations: list[Explanation]) -> list[Evidence]:
    """Returns what separates the best explanation from the next one with a culprit, weightiest first.

    explanations: best first.
    """
    best = explanations[0]
    if best.candidate is None:
        return []
    rival = next((one for one in explanations[1:] if one.candidate is not None), None)
    statements = [
        _members(topology, event, best.candidate),
        *(_others(topology, event, best, rival) if rival else ()),
        *_features(best, rival),
    ]
    weighty = sorted((one for one in statements if one.weight >= WORTH_SAYING), key=lambda statement: -statement.weight)
    return weighty[:MOST_SENTENCES]


def _members(topology: Topology, event: Event, candidate: CulpritCandidate) -> Evidence:
    members = candidate.members & event.evidence
    affected, count = int((event.membership[members] > 0.5).sum()), int(members.sum())
    share = affected / max(1, count)
    statement = (
        f"{affected} of the {count} measured link directions of {_name(topology, candidate)} follow the same course."
    )
    return Evidence(statement, share >= 0.5, round(MEMBERS_NATS * abs(2.0 * share - 1.0), 3))


def _others(topology: Topology, event: Event, best: Explanation, rival: Explanation) -> Iterator[Evidence]:
    """Yields what the rival would affect as well, and what is affected beyond the best explanation."""
    if rival.candidate is None or best.candidate is None:
        return
    spared = rival.candidate.members & ~best.candidate.members & event.evidence
    healthy, count = int((event.membership[spared] < 0.5).sum()), int(spared.sum())
    gain = sum(rival.against.get(part, 0.0) - best.against.get(part, 0.0) for part in (HEALTHY, ELSEWHERE))
    if healthy:
        named = _name(topology, rival.candidate)
        statement = f"{healthy} of the {count} other link directions of {named} stayed healthy."
        yield Evidence(statement, gain >= 0, round(abs(gain), 3))
    elsewhere = int((event.membership[~best.candidate.members & event.evidence] > 0.5).sum())
    if elsewhere and best.against[ELSEWHERE]:
        statement = f"{elsewhere} link directions elsewhere show the same."
        yield Evidence(statement, supports=False, weight=round(best.against[ELSEWHERE], 3))


def _features(best: Explanation, rival: Explanation | None) -> Iterator[Evidence]:
    for feature, sentence in SENTENCES.items():
        value = best.features.get(feature, np.nan)
        own = best.against.get(feature.value, 0.0)
        other = rival.against.get(feature.value, 0.0) if rival else 0.0
        if not np.isnan(value):
            yield Evidence(sentence(value), other >= own, round(abs(other - own), 3))
