"""How readily anomalies are reported."""

from datetime import datetime
from typing import Self

import strawberry

from ml.catalogue.metrics import TargetKind
from ml.detection.detector import false_alarms_per_day
from resolvers.store.tables import core as tables
from resolvers.store.tables import models as model_tables
from schema.accounts.types import User
from schema.batched_fields import relation


@strawberry.type(
    description="How readily anomalies are reported for a kind of target. 0 allows about one false alarm a month per"
    " target, 1 about three a day."
)
class Sensitivity:
    kind: TargetKind
    value: float = strawberry.field(description="0 to 1. Default: 0.5.")
    set_at: datetime | None = strawberry.field(description="When it was changed. Null if it is the default.")
    row: strawberry.Private[model_tables.Sensitivity]

    @classmethod
    def from_row(cls, row: model_tables.Sensitivity) -> Self:
        return cls(kind=row.kind, value=row.value, set_at=row.set_at, row=row)

    @strawberry.field(description="How many false alarms a day it allows per target: 90^value / 30.")
    def false_alarms_per_day(self) -> float:
        return false_alarms_per_day(self.value)

    set_by = relation(
        User | None,
        tables.User,
        by="set_by_id",
        description="The admin who changed it. Null if nobody or the server's command line did.",
    )
