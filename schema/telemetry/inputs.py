"""Windows of time, and input fields for metrics with the catalogue's descriptions."""

from datetime import datetime
from typing import Any

import strawberry

from ml.catalogue.metrics import CATALOGUE, TargetKind
from schema.enums import Metric

N, S, L = (CATALOGUE[kind] for kind in TargetKind)


def optional_metric(kind: TargetKind, name: str) -> Any:
    """Returns an optional input field for a metric."""
    return strawberry.field(default=None, description=CATALOGUE[kind].spec(Metric(name.upper())).described)


def required_metric(kind: TargetKind, name: str) -> Any:
    """Returns a required input field for a metric."""
    return strawberry.field(description=CATALOGUE[kind].spec(Metric(name.upper())).described)


AT = "When it was measured: at most 5 minutes ahead of the server, and not before the oldest samples kept."


@strawberry.input(description="A span of time. By default the last 24 hours.")
class TimeWindow:
    from_: datetime | None = strawberry.field(
        name="from", default=None, description="Start, inclusive. Default: `hours` before `to`."
    )
    to: datetime | None = strawberry.field(default=None, description="End, exclusive. Default: now.")
    hours: float | None = strawberry.field(
        default=24, description="Length in hours, used if `from` is null. Default: 24."
    )
