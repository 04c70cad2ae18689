"""Cases: a fault that somebody asks about, as the ranking takes it, with the words that describe it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self
from uuid import UUID

import orjson

from ml.catalogue.metrics import Metric
from ml.recommendation.advice import Diagnosis
from ml.recommendation.case import FaultCase
from ml.recommendation.playbook.actions import Action, ActionText, CasePhrases
from resolvers.store.queries.labels import TargetKey
from resolvers.store.tables.analyses import CorrelationAnalysis
from resolvers.store.tables.core import Anomaly, Detection
from resolvers.store.tables.incidents import Incident


@dataclass(frozen=True)
class DescribedCase:
    """A fault case with the words that describe it, and the target that its actions are for."""

    fault: FaultCase
    phrases: CasePhrases
    key: TargetKey | None  # what is at fault, or affected
    diagnosis: Diagnosis | None = None  # None: the readings are all that is known
    is_over: bool = False  # it ended long before anybody asked: nothing is urgent
    usual: Mapping[str, Mapping[Metric, str]] = field(default_factory=dict)  # by direction, the affected one first

    def describe(self, action: Action) -> ActionText:
        """Returns the action's text for this case."""
        direction = action.direction or next(iter(self.usual), "")
        return action.describe(replace(self.phrases, usual=self.usual.get(direction) or self.phrases.usual))


Row = Anomaly | Detection | CorrelationAnalysis | Incident


@dataclass(frozen=True)
class Subject:
    """What recommendations are asked for."""

    id: UUID
    basis: bytes  # a hash of everything that makes a difference to the recommendations
    anomaly_id: UUID | None = None
    analysis_id: UUID | None = None
    incident_id: UUID | None = None

    @classmethod
    def from_row(cls, row: Row, state: str | None = None) -> Self:
        """state: of an incident, in one text; see `incident_states`."""
        match row:
            case Anomaly():
                leading = max(row.contributions, key=lambda part: part["share"], default={}).get("metric")
                facts = (row.id, row.severity, leading, row.analysis_id, row.ended_at is None)
                return cls(row.id, _hash(*facts), anomaly_id=row.id, analysis_id=row.analysis_id)
            case Detection():
                return cls(row.id, _hash(row.id))
            case CorrelationAnalysis():
                return cls(row.id, _hash(row.id), analysis_id=row.id)
            case Incident():
                basis = _hash(row.id, state, row.ended_at is None)
                return cls(row.id, basis, analysis_id=row.analysis_id, incident_id=row.id)


def _hash(*facts: object) -> bytes:
    return hashlib.sha256(orjson.dumps([str(fact) for fact in facts])).digest()
