"""Actions: what people do about a fault, and how one is told for the case at hand."""

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


class Effort(IntEnum):
    """What it costs, from a look to a journey."""

    LOOK = 1  # at the desk: something is looked up or watched
    REMOTE = 2  # at the desk: something is changed
    CALL = 3  # somebody outside has to act: the customer, the satellite's operator, a vendor
    HUB = 4  # hands at the hub
    VISIT = 5  # a journey to the remote


@dataclass(frozen=True)
class Facts:
    """A case in phrases that stand in a sentence as they are, without an article before them.

    finding: a whole sentence, with the readings. usual: by metric, what it is when all is well, with its unit.
    """

    target: str  # at fault, or hit: "hub Singapore", "satellite SES-9, transponder 5K"
    finding: str  # "Es/N0 of link Aurora is 4.1 dB where 11.8 dB is usual."
    link: str = "the worst link"  # the one to look at
    links: str = "the affected links"  # all of them: "12 links", "link Aurora"
    site: str = "the remote"
    hub: str = "the hub"
    network: str = "the network"
    satellite: str = "the satellite"
    transponder: str = "its transponder"
    usual: Mapping[Metric, str] = field(default_factory=dict)


USUAL: Final = "its usual value"  # of a metric that nothing is known of


@dataclass(frozen=True)
class Told:
    title: str
    description: str


@dataclass(frozen=True)
class Action:
    """One thing to do. `title`, `steps` and `check` are templates of `Facts`' names.

    In `check`, a metric's column ({esno_db}) stands for what that metric is when all is well, as in "Es/N0 of {link} is
    back at {esno_db}". watch: the metrics that show whether it helped, the most telling first. minutes: from the
    decision until it shows whether it helped, typically. direction: the only one that it can help; None for both.
    mobile: only where the antenna moves, on ships and on wheels.
    """

    key: str  # in snake case; kept with recommendations for ever
    title: str  # imperative, at most 80 characters before names come in
    who: str  # "NOC", "Hub engineer", …
    steps: str  # sentences
    check: str  # completes "Afterwards: "
    watch: tuple[Metric, ...]
    tags: tuple[Tag, ...]
    effort: Effort
    minutes: int
    direction: Direction | None = None
    mobile: bool = False

    def told(self, facts: Facts) -> Told:
        """For this case, naming its things and readings."""
        words = {name: value for name, value in vars(facts).items() if isinstance(value, str)}
        words |= {metric.column: facts.usual.get(metric, USUAL) for metric in Metric}
        title, steps, check = (text.format_map(words) for text in (self.title, self.steps, self.check))
        return Told(title, f"{facts.finding} {self.who}: {steps} Afterwards: {check}")


@dataclass(frozen=True)
class Remedy:
    """An action for one cause or one metric. chance: that it ends the fault, as experience says before any outcome."""

    action: Action
    chance: float
