"""Sentences for a person: what a pattern is, and what speaks for and against it."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from ml.causes import CAUSES, CulpritKind, RootCause
from ml.events import Channel, Event
from ml.findings import Evidence
from ml.localization import Explanation, Suspect
from ml.plant import Plant
from ml.residuals import LOST_DB, Residuals
from ml.signatures import Feature

WORTH_SAYING: Final = 0.25  # nats
MOST_SENTENCES: Final = 8


def describe(plant: Plant, found: Residuals, event: Event, best: Explanation) -> str:
    """One sentence: who is hit, how, and why."""
    links = len(plant.links)
    count = len(np.unique(event.hits % links))
    who = f"{count} links" if count != 1 else f"Link {plant.link_names[int(event.hits[0]) % links]}"
    inbound, outbound = bool((event.hits < links).any()), bool((event.hits >= links).any())
    way = "" if inbound and outbound else " inbound" if inbound else " outbound"
    what = {
        Channel.DARK: "went silent",
        Channel.QUEUE: "queue, with a healthy signal",
        Channel.SIGNAL: f"lost up to {_depth(event):.1f} dB of Es/N0",
    }[event.channel]
    if count == 1 and event.channel is Channel.QUEUE:
        what = "queues, with a healthy signal"
    meaning = CAUSES[best.cause].meaning
    at_fault = f" at {name(plant, best.suspect)}" if best.suspect else ""
    return f"{who} {what}{way}: {meaning}{at_fault}."


def _depth(event: Event) -> float:
    return min(LOST_DB, float(event.course[event.active].max() * np.median(event.follows[event.hits])))


def name(plant: Plant, suspect: Suspect) -> str:
    """As an operator says it."""
    index = suspect.index
    if suspect.kind is CulpritKind.SATELLITE:
        link = int(np.flatnonzero(suspect.members)[0]) % len(plant.links)
        return f"satellite {plant.satellite_names[index]}, transponder {plant.transponder_names[plant.transponder[link]]}"
    if suspect.kind is CulpritKind.SITE:
        hub = "hub" if (plant.networks.hub == index).any() else "site"
        return f"{hub} {plant.sites.names[index]}"
    if suspect.kind is CulpritKind.NETWORK:
        return f"network {plant.networks.names[index]}"
    return f"link {plant.link_names[index]}"


def evidence(plant: Plant, event: Event, explained: list[Explanation]) -> list[Evidence]:
    """What separates the best explanation from the next one of another cause or culprit, weightiest first."""
    best = explained[0]
    if best.suspect is None:
        return []
    rival = next((one for one in explained[1:] if one.suspect is not None), None)
    said = [_members(plant, event, best.suspect), *_healthy(plant, event, best, rival), *_features(best, rival)]
    weighty = sorted((one for one in said if one.weight >= WORTH_SAYING), key=lambda one: -one.weight)
    return weighty[:MOST_SENTENCES]


def _members(plant: Plant, event: Event, suspect: Suspect) -> Evidence:
    members = suspect.members & event.evidence
    hit = int((event.hit[members] > 0.5).sum())  # noqa: PLR2004
    share = hit / max(1, int(members.sum()))
    statement = f"{hit} of the {int(members.sum())} measured link directions of {name(plant, suspect)} follow the same course."
    return Evidence(statement, share >= 0.5, round(6.0 * abs(2.0 * share - 1.0), 3))  # noqa: PLR2004


def _healthy(plant: Plant, event: Event, best: Explanation, rival: Explanation | None) -> Iterator[Evidence]:
    if rival is None or rival.suspect is None or best.suspect is None:
        return
    spared = rival.suspect.members & ~best.suspect.members & event.evidence
    healthy = int((event.hit[spared] < 0.5).sum())  # noqa: PLR2004
    gain = sum(rival.against.get(part, 0.0) - best.against.get(part, 0.0) for part in ("healthy", "elsewhere"))
    if healthy and spared.any():
        statement = f"{healthy} of the {int(spared.sum())} other link directions of {name(plant, rival.suspect)} stayed healthy."
        yield Evidence(statement, gain >= 0, round(abs(gain), 3))
    elsewhere = int((event.hit[~best.suspect.members & event.evidence] > 0.5).sum())  # noqa: PLR2004
    if elsewhere and best.against["elsewhere"]:
        yield Evidence(f"{elsewhere} link directions elsewhere show the same.", False, round(best.against["elsewhere"], 3))


def _features(best: Explanation, rival: Explanation | None) -> Iterator[Evidence]:
    for feature, sentence in SENTENCES.items():
        value = best.features.get(feature, np.nan)
        own = best.against.get(feature.value, 0.0)
        other = rival.against.get(feature.value, 0.0) if rival else 0.0
        if not np.isnan(value):
            yield Evidence(sentence(value), other >= own, round(abs(other - own), 3))


def _noise(way: str) -> Callable[[float], str]:
    def sentence(share: float) -> str:
        if share < 0.15:  # noqa: PLR2004
            return f"{way} the level falls as much as Es/N0: the signal is weaker, the noise is as before."
        return f"{way} {min(1.0, share):.0%} of what Es/N0 lost is noise or interference that came on top."

    return sentence


SENTENCES: Final[dict[Feature, Callable[[float], str]]] = {
    Feature.NOISE_SHARE_IB: _noise("Inbound"),
    Feature.NOISE_SHARE_OB: _noise("Outbound"),
    Feature.BALANCE: lambda value: f"Outbound lost {np.exp(value):.1f} times what inbound lost, in dB.",
    Feature.POWER_IB: lambda value: f"The remotes' transmit power changed by {value:+.1f} dB.",
    Feature.POWER_OB: lambda value: f"The hub's transmit power changed by {value:+.1f} dB.",
    Feature.RISE: lambda value: f"It came within {max(1.0, value):.0f} minutes." if value < 60 else f"It came slowly, over {value / 60:.1f} hours.",  # noqa: PLR2004, E501
    Feature.MINUTES: lambda value: f"It lasted {value:.0f} minutes." if value < 180 else f"It lasted {value / 60:.1f} hours.",  # noqa: PLR2004, E501
    Feature.LASTS: lambda value: "It lasts at the end of the window." if value else "It ended by itself.",
    Feature.RUNS: lambda value: f"It came {value:.0f} times." if value > 1 else "It came once.",
    Feature.DAILY: lambda value: "It comes at the same time of the day." if value else "It comes at no fixed time.",
    Feature.COMPACT: lambda value: f"The sites hit lie together: nearer to their middle than {value:.0%} of the others.",
    Feature.LEVEL_RISE: lambda value: "The level rose, as added noise makes it." if value > 0.4 else "The level did not rise.",
    Feature.SCATTER: lambda value: f"The links' depths differ by {value:.0%} of their mean.",
    Feature.LAG: lambda value: f"The links' onsets differ by {value:.0f} minutes.",
    Feature.MOBILE: lambda value: "The site is mobile." if value > 0.5 else "The site does not move.",  # noqa: PLR2004
    Feature.NEIGHBOURS: lambda value: f"{value:.0%} of the link directions nearby are hit as well.",
    Feature.DEPTH: lambda value: f"Es/N0 fell by {value:.1f} dB.",
}
assert RootCause.UNKNOWN in CAUSES  # noqa: S101
