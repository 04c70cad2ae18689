"""Which incidents nobody is told of yet: mild oddities in the own figures of a network that is young.

In its first days a network's busy hours look like jumps, as its baseline is of quiet ones. At a sample a minute that
makes eight times the false alarms that are allowed, and four in five of them end within the hour. A fault of its links
shows on them, too, and is told at once.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter

from ml.catalogue.metrics import TargetKind
from ml.detection.episodes import Severity
from resolvers.incidents.evidence import LiveAnomaly
from resolvers.store.tables.core import AnomalyCategory
from resolvers.store.tables.incidents import Incident

HOLD: Final = timedelta(hours=1)
HELD: Final = "Nobody is told yet: a network that is young often finds its own figures odd."
TOLD_NOW: Final = "Told from now on, as it is more than a young network's own figures, or lasts."

NEVER_TOLD: Final = Counter(
    "bcom_incidents_never_told_total",
    "Incidents that ended before anybody was told: mild oddities in the own figures of young networks.",
)


def is_doubtful(members: Sequence[LiveAnomaly], now: datetime) -> bool:
    """Returns whether these anomalies alone are not worth telling of yet."""
    return bool(members) and all(_is_doubtful(member, now) for member in members)


def is_held(incident: Incident, members: Sequence[LiveAnomaly], now: datetime) -> bool:
    """Returns whether an incident that nobody was told of stays so."""
    return incident.root_cause is None and incident.severity.rank < Severity.HIGH.rank and is_doubtful(members, now)


def _is_doubtful(member: LiveAnomaly, now: datetime) -> bool:
    is_own = member.kind is TargetKind.NETWORK and member.category is AnomalyCategory.DEVIATION
    is_mild = member.severity.rank < Severity.HIGH.rank
    lasts = (member.ended_at or now) - member.started_at >= HOLD
    return is_own and member.is_young and is_mild and not lasts
