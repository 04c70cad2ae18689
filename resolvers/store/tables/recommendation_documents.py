"""Situations as recommendations keep them: what each key of the stored JSON means."""

from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

from ml.catalogue.metrics import Direction, Metric, TargetKind
from ml.catalogue.root_causes import CulpritKind, RootCause
from ml.recommendation.case import Past, Situation

Json = dict[str, Any]


class Situations(TypeDecorator[Situation]):
    """A situation, kept as JSON with the same names. A new name needs a default for those stored before it."""

    impl = JSONB
    cache_ok = True

    def process_bind_param(self, value: Situation | None, dialect: Dialect) -> Json | None:
        return None if value is None else {**vars(value), "shares": dict(value.shares)}

    def process_result_value(self, value: Json | None, dialect: Dialect) -> Situation | None:
        return None if value is None else _read(value)


class PastCounts(TypeDecorator[Past]):
    """What was known of earlier outcomes, kept as JSON with the same names."""

    impl = JSONB
    cache_ok = True

    def process_bind_param(self, value: Past | None, dialect: Dialect) -> Json | None:
        return None if value is None else vars(value)

    def process_result_value(self, value: Json | None, dialect: Dialect) -> Past | None:
        return None if value is None else Past(**value)


def _read(kept: Json) -> Situation:
    return Situation(
        **{
            **kept,
            "scope": CulpritKind(kept["scope"]),
            "causes": tuple((RootCause(cause), probability) for cause, probability in kept["causes"]),
            "kind": None if kept["kind"] is None else TargetKind(kept["kind"]),
            "shares": {Metric(metric): share for metric, share in kept["shares"].items()},
            "directions": tuple(map(Direction, kept["directions"])),
        }
    )
