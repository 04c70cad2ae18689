"""Cases: a fault that somebody asks about, as the ranking takes it, with the words that describe it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self
from uuid import UUID

import orjson

from ml.catalogue.metrics import Metric
from ml.catalogue.root_causes import CAUSES, CulpritKind, RootCause
from ml.recommendation.case import FaultCase
from ml.recommendation.playbook.actions import Action, ActionText, CasePhrases
from resolvers.store.queries.labels import TargetKey
from resolvers.store.tables.analyses import CorrelationAnalysis
from resolvers.store.tables.analysis_documents import Culprit
from resolvers.store.tables.core import Anomaly, Detection

HUB_CAUSES: Final = (RootCause.EQUIPMENT_FAILURE, RootCause.ANTENNA_ALIGNMENT)


@dataclass(frozen=True)
class DescribedCase:
    """A fault case with the words that describe it, and the targets that it is about."""

    fault: FaultCase
    phrases: CasePhrases
    key: TargetKey | None  # what is at fault where `culprits` does not say it
    culprits: Mapping[RootCause, Culprit] = field(default_factory=dict)
    labels: Mapping[TargetKey, str] = field(default_factory=dict)  # of `key` and all culprits
    usual: Mapping[str, Mapping[Metric, str]] = field(default_factory=dict)  # by direction, the affected one first

    def target_for(self, cause: RootCause | None) -> TargetKey | None:
        """Returns what an action for this cause is to be done to, or is about."""
        culprit = self.culprits.get(cause) if cause else None
        return (culprit.kind, culprit.key) if culprit else self.key

    @property
    def targets(self) -> set[TargetKey]:
        keys = (self.key, *((culprit.kind, culprit.key) for culprit in self.culprits.values()))
        return {key for key in keys if key}

    def describe(self, action: Action, cause: RootCause | None) -> ActionText:
        """Returns the action's text for this case; for a less likely cause, on the condition that it is that one."""
        phrases, culprit = self.phrases, self.culprits.get(cause) if cause else None
        if culprit and (label := self.labels.get((culprit.kind, culprit.key))):
            phrases = replace(phrases, target=_with_transponder(culprit, label))
            if culprit.kind is CulpritKind.SITE and cause not in HUB_CAUSES:  # rain or a power cut, also at a hub
                phrases = replace(phrases, site=label)
        if cause and self.fault.causes and cause is not self.fault.causes[0][0]:
            chance = dict(self.fault.causes)[cause]
            finding = f"{phrases.finding} Should it be {CAUSES[cause].meaning} ({chance:.0%}):"
            phrases = replace(phrases, finding=finding)
        direction = action.direction or next(iter(self.usual), "")
        return action.describe(replace(phrases, usual=self.usual.get(direction) or phrases.usual))


Row = Anomaly | Detection | CorrelationAnalysis


@dataclass(frozen=True)
class Subject:
    """What recommendations are asked for."""

    id: UUID
    basis: bytes  # a hash of everything that makes a difference to the recommendations
    anomaly_id: UUID | None = None
    analysis_id: UUID | None = None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        match row:
            case Anomaly():
                leading = max(row.contributions, key=lambda part: part["share"], default={}).get("metric")
                facts = (row.id, row.severity, leading, row.analysis_id, row.ended_at is None)
                return cls(row.id, _hash(*facts), anomaly_id=row.id, analysis_id=row.analysis_id)
            case Detection():
                return cls(row.id, _hash(row.id))
            case CorrelationAnalysis():
                return cls(row.id, _hash(row.id), analysis_id=row.id)


def _hash(*facts: object) -> bytes:
    return hashlib.sha256(orjson.dumps([str(fact) for fact in facts])).digest()


def _with_transponder(culprit: Culprit, label: str) -> str:
    return f"{label}, transponder {culprit.transponder}" if culprit.transponder else label
