"""Actions: what people do about a fault, and how one is described for the case at hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from ml.catalogue.metrics import Direction, Metric


class Tag(StrEnum):
    """What an action is about; as `tags` in the API."""

    RF = "rf"
    HUB = "hub"
    REMOTE = "remote"
    SATELLITE = "satellite"
    POWER = "power"
    CAPACITY = "capacity"
    CONFIGURATION = "configuration"
    SOFTWARE = "software"
    WEATHER = "weather"
    VENDOR = "vendor"
    CUSTOMER = "customer"
    SAFETY = "safety"
    FIELD = "field"  # somebody has to go there
    MONITORING = "monitoring"


class Purpose(StrEnum):
    """What an action is for."""

    REPAIR = "REPAIR"  # it may end the fault
    NARROW_DOWN = "NARROW_DOWN"  # it tells two possible causes apart, and changes nothing


class Effort(IntEnum):
    """What an action costs, from a look to a journey."""

    LOOK = 1  # at the desk: something is looked up or watched
    REMOTE = 2  # at the desk: something is changed
    CALL = 3  # somebody outside has to act: the customer, the satellite's operator, a vendor
    HUB = 4  # hands at the hub
    VISIT = 5  # a journey to the remote


@dataclass(frozen=True)
class CasePhrases:
    """The phrases that fill an action's templates. Each fits into a sentence without an article."""

    target: str  # what is at fault, or affected: "hub Singapore", "satellite SES-9, transponder 5K"
    finding: str  # a whole sentence: "Es/N0 of link Aurora is 4.1 dB where 11.8 dB is usual."
    link: str = "the worst link"  # the one to look at
    links: str = "the affected links"  # all of them: "12 links", "link Aurora"
    site: str = "the remote"
    hub: str = "the hub"
    network: str = "the network"
    satellite: str = "the satellite"
    transponder: str = "its transponder"
    usual: Mapping[Metric, str] = field(default_factory=dict)  # healthy values, with units: "its usual 11.8 dB"
    rival: str = "the other suspect"  # what else may be at fault: "hub Fucino"; for what tells causes apart


LEAD_IN: Final = {Purpose.REPAIR: "Afterwards:", Purpose.NARROW_DOWN: "What it tells:"}  # stands before the check
UNKNOWN_USUAL: Final = "its usual value"  # of a metric whose healthy value is not known


@dataclass(frozen=True)
class ActionText:
    """An action, described for one case."""

    title: str
    description: str


@dataclass(frozen=True)
class Action:
    """One thing to do. `title`, `steps` and `check` are templates that `CasePhrases` fill.

    In `check`, a metric's column ({esno_db}) stands for the metric's healthy value, as in "Es/N0 of {link} is back at
    {esno_db}".
    """

    key: str  # in snake case; stored recommendations refer to it, so it must never change
    title: str  # imperative, at most 80 characters before names come in
    who: str  # "NOC", "Hub engineer", …
    steps: str  # sentences
    check: str  # completes "Afterwards: ", or "What it tells: " where it tells causes apart
    watch: tuple[Metric, ...]  # the metrics that show whether it helped, or that tell, the most telling first
    tags: tuple[Tag, ...]
    effort: Effort
    minutes: int  # from the decision until it shows whether it helped, typically
    direction: Direction | None = None  # the only one that it can help; None: both
    mobile: bool = False  # only where the antenna moves, on ships and on wheels
    purpose: Purpose = Purpose.REPAIR

    def describe(self, phrases: CasePhrases) -> ActionText:
        """Returns the action's text for one case, with its names and readings."""
        words = {name: value for name, value in vars(phrases).items() if isinstance(value, str)}
        words |= {metric.column: phrases.usual.get(metric, UNKNOWN_USUAL) for metric in Metric}
        title, steps, check = (text.format_map(words) for text in (self.title, self.steps, self.check))
        return ActionText(title, f"{phrases.finding} {self.who}: {steps} {LEAD_IN[self.purpose]} {check}")


@dataclass(frozen=True)
class Remedy:
    """An action that may help with one cause or one metric, or that tells two causes apart."""

    action: Action
    chance: float  # that it ends the fault, or tells, 0 to 1, before any outcome is recorded
    source: str  # where the chance is from; "estimate" if nobody measured it
