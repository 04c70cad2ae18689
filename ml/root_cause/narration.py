"""Sentences for a person: what a pattern is, and what speaks for and against it."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from ml.catalogue.root_causes import CAUSES, CulpritKind
from ml.catalogue.topology import Plant
from ml.root_cause.candidates import Suspect
from ml.root_cause.events import Channel, Event
from ml.root_cause.localization import ELSEWHERE, HEALTHY, Explanation
from ml.root_cause.report import Evidence
from ml.root_cause.residuals import LOST_DB
from ml.root_cause.sentences import SENTENCES

WORTH_SAYING: Final = 0.25  # nats
MOST_SENTENCES: Final = 8
MEMBERS_NATS: Final = 6.0  # where all members follow, or none


def describe(plant: Plant, event: Event, best: Explanation) -> str:
    """One sentence: who is hit, how, and why."""
    links = len(plant.links)
    one = plant.link_names[int(event.links[0])] if len(event.links) == 1 else None
    who = f"{len(event.links)} links" if one is None else f"Link {one}"
    inbound, outbound = bool((event.hits < links).any()), bool((event.hits >= links).any())
    way = "" if inbound and outbound else " inbound" if inbound else " outbound"
    at_fault = f" at {_name(plant, best.suspect)}" if best.suspect else ""
    return f"{who} {_what(event, alone=one is not None)}{way}: {CAUSES[best.cause].meaning}{at_fault}."


def _what(event: Event, *, alone: bool) -> str:
    match event.channel:
        case Channel.DARK:
            return "went silent"
        case Channel.QUEUE:
            return f"{'queues' if alone else 'queue'}, with a healthy signal"
        case Channel.SIGNAL:
            depth_db = float(event.course[event.active].max() * np.median(event.follows[event.hits]))
            return f"lost up to {min(LOST_DB, depth_db):.1f} dB of Es/N0"


def _name(plant: Plant, suspect: Suspect) -> str:
    """As an operator says it."""
    index = suspect.index
    match suspect.kind:
        case CulpritKind.SATELLITE:
            link = int(np.flatnonzero(suspect.members)[0]) % len(plant.links)
            transponder = plant.transponder_names[plant.transponder[link]]
            return f"satellite {plant.satellite_names[index]}, transponder {transponder}"
        case CulpritKind.SITE:
            return f"{'hub' if (plant.networks.hub == index).any() else 'site'} {plant.sites.names[index]}"
        case CulpritKind.NETWORK:
            return f"network {plant.networks.names[index]}"
        case CulpritKind.LINK:
            return f"link {plant.link_names[index]}"


def evidence(plant: Plant, event: Event, explained: list[Explanation]) -> list[Evidence]:
    """What separates the best explanation from the next one of another cause or culprit, weightiest first."""
    best = explained[0]
    if best.suspect is None:
        return []
    rival = next((one for one in explained[1:] if one.suspect is not None), None)
    said = [
        _members(plant, event, best.suspect),
        *(_others(plant, event, best, rival) if rival else ()),
        *_features(best, rival),
    ]
    weighty = sorted((one for one in said if one.weight >= WORTH_SAYING), key=lambda one: -one.weight)
    return weighty[:MOST_SENTENCES]


def _members(plant: Plant, event: Event, suspect: Suspect) -> Evidence:
    members = suspect.members & event.evidence
    hit, count = int((event.hit[members] > 0.5).sum()), int(members.sum())
    share = hit / max(1, count)
    statement = f"{hit} of the {count} measured link directions of {_name(plant, suspect)} follow the same course."
    return Evidence(statement, share >= 0.5, round(MEMBERS_NATS * abs(2.0 * share - 1.0), 3))


def _others(plant: Plant, event: Event, best: Explanation, rival: Explanation) -> Iterator[Evidence]:
    """What the rival would hit as well, and what the best one does not."""
    if rival.suspect is None or best.suspect is None:
        return
    spared = rival.suspect.members & ~best.suspect.members & event.evidence
    healthy, count = int((event.hit[spared] < 0.5).sum()), int(spared.sum())
    gain = sum(rival.against.get(part, 0.0) - best.against.get(part, 0.0) for part in (HEALTHY, ELSEWHERE))
    if healthy:
        named = _name(plant, rival.suspect)
        statement = f"{healthy} of the {count} other link directions of {named} stayed healthy."
        yield Evidence(statement, gain >= 0, round(abs(gain), 3))
    elsewhere = int((event.hit[~best.suspect.members & event.evidence] > 0.5).sum())
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
