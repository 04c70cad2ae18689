"""Cases: each fault that somebody asks about, as the ranking takes it, and in the words in which it is told."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self
from uuid import UUID

import orjson

from ml.catalogue.metrics import Metric
from ml.catalogue.root_causes import CAUSES, CulpritKind, RootCause
from ml.recommendation.case import Situation
from ml.recommendation.playbook.actions import Action, Facts, Told
from resolvers.store.queries.labels import Key
from resolvers.store.tables.analyses import CorrelationAnalysis
from resolvers.store.tables.analysis_documents import Culprit
from resolvers.store.tables.core import Anomaly, Detection

OF_HUBS: Final = (RootCause.EQUIPMENT_FAILURE, RootCause.ANTENNA_ALIGNMENT)


@dataclass(frozen=True)
class Case:
    """One fault. `culprits`: who is at fault by cause, `key` otherwise; `named`: phrases for them all.

    usual: by direction, of the link or target to look at; those of the affected direction come first.
    """

    situation: Situation
    facts: Facts
    key: Key | None
    culprits: Mapping[RootCause, Culprit] = field(default_factory=dict)
    named: Mapping[Key, str] = field(default_factory=dict)
    usual: Mapping[str, Mapping[Metric, str]] = field(default_factory=dict)

    def target(self, cause: RootCause | None) -> Key | None:
        """What an action for this cause is to be done to, or about."""
        culprit = self.culprits.get(cause) if cause else None
        return (culprit.kind, culprit.key) if culprit else self.key

    @property
    def targets(self) -> set[Key]:
        return {one for one in (self.key, *((c.kind, c.key) for c in self.culprits.values())) if one}

    def told(self, action: Action, cause: RootCause | None) -> Told:
        """The action for this case; for another cause than the likeliest with the condition that it is that."""
        facts, culprit = self.facts, self.culprits.get(cause) if cause else None
        if culprit and (name := self.named.get((culprit.kind, culprit.key))):
            facts = replace(facts, target=_with_transponder(culprit, name))
            if culprit.kind is CulpritKind.SITE and cause not in OF_HUBS:  # rain, or no electricity, also at a hub
                facts = replace(facts, site=name)
        if cause and self.situation.causes and cause is not self.situation.causes[0][0]:
            chance = dict(self.situation.causes)[cause]
            facts = replace(facts, finding=f"{facts.finding} Should it be {CAUSES[cause].meaning} ({chance:.0%}):")
        way = action.direction or next(iter(self.usual), "")
        return action.told(replace(facts, usual=self.usual.get(way) or facts.usual))


Row = Anomaly | Detection | CorrelationAnalysis


@dataclass(frozen=True)
class Subject:
    """What recommendations are asked for. `basis`: of all that makes a difference to them."""

    id: UUID
    basis: bytes
    anomaly_id: UUID | None = None
    analysis_id: UUID | None = None

    @classmethod
    def of(cls, row: Row) -> Self:
        match row:
            case Anomaly():
                leading = max(row.contributions, key=lambda part: part["share"], default={}).get("metric")
                facts = (row.id, row.severity, leading, row.analysis_id, row.ended_at is None)
                return cls(row.id, _basis(*facts), anomaly_id=row.id, analysis_id=row.analysis_id)
            case Detection():
                return cls(row.id, _basis(row.id))
            case CorrelationAnalysis():
                return cls(row.id, _basis(row.id), analysis_id=row.id)


def _basis(*facts: object) -> bytes:
    return hashlib.sha256(orjson.dumps([str(fact) for fact in facts])).digest()


def _with_transponder(culprit: Culprit, name: str) -> str:
    return f"{name}, transponder {culprit.transponder}" if culprit.transponder else name
