"""The resolvers' enumerations, described."""

import strawberry

from ml.catalogue.metrics import CATALOGUE, Direction, Metric, TargetKind
from ml.catalogue.root_causes import CAUSES, RootCause
from ml.detection.episodes import Severity
from ml.recommendation.case import Outcome, Priority
from resolvers.base.roles import Role
from resolvers.detection.anomalies import AnomalyChange, AnomalyOrder
from resolvers.store.tables.analyses import AnalysisScope
from resolvers.store.tables.core import AnomalyStatus, Band, SiteRole, Verdict
from resolvers.store.tables.models import ModelStage, TrainingStatus

strawberry.enum(
    Role,
    description="Each role may do all that the ones before it may. VIEWER reads; OPERATOR also writes metrics, detects,"
    " analyses, acknowledges; ADMIN also manages users, topology, models.",
)
strawberry.enum(SiteRole, description="A hub's antenna serves networks; a remote is a terminal.")
strawberry.enum(
    Direction,
    description="IB (inbound) is remote to hub; OB (outbound) is hub to remote. Each direction is measured at its"
    " receiver: OB at the remote, IB at the hub.",
)
strawberry.enum(Band, description="The frequency band of a network's carriers.")
strawberry.enum(TargetKind, description="What samples are measured on, and anomalies found on.")
strawberry.enum(AnomalyStatus, description="Acknowledged anomalies are still going on; resolved ones have ended.")
strawberry.enum(Severity, description="How urgently it wants a person.")
strawberry.enum(Verdict, description="What a person says of it afterwards.")
strawberry.enum(AnomalyOrder, description="NEWEST and OLDEST by when they started; SEVERITY worst first, then newest.")
strawberry.enum(AnomalyChange, description="What happened to an anomaly.")
strawberry.enum(AnalysisScope, description="Which links are asked about: a network's, a hub's, a satellite's, or one.")
strawberry.enum(Priority, description="How soon it wants to be looked at.")
strawberry.enum(
    Outcome,
    description="What became of it. ACCEPTED: somebody is at it; SOLVED and DID_NOT_HELP: it was done; REJECTED: it"
    " will not be.",
)
strawberry.enum(
    RootCause,
    description="The first four are the classifier's classes; the rest are what else explains the same symptoms.",
)
for _cause in RootCause.__strawberry_definition__.values:  # type: ignore[attr-defined]
    _cause.description = f"Suffering from {CAUSES[RootCause(_cause.value)].meaning}."
strawberry.enum(
    ModelStage, description="The champion serves; archived versions have served before; candidates never were promoted."
)
strawberry.enum(TrainingStatus, description="A run waits in the queue, runs, and then has succeeded or failed.")


def _described(metric: Metric) -> str:
    having = [(kind, spec) for kind in CATALOGUE.values() for spec in kind.specs if spec.metric is metric]
    return " ".join(f"{kind.kind.capitalize()}: {spec.described}" for kind, spec in having)


strawberry.enum(
    Metric,
    description="The catalogue: unit and plausible range of each belong to its description.\n"
    + "\n".join(f"{kind.kind.capitalize()}: {' '.join(kind.metrics)}." for kind in CATALOGUE.values()),
)
for _value in Metric.__strawberry_definition__.values:  # type: ignore[attr-defined]
    _value.description = _described(Metric(_value.value))

__all__ = [
    "AnalysisScope",
    "AnomalyChange",
    "AnomalyOrder",
    "AnomalyStatus",
    "Band",
    "Direction",
    "Metric",
    "ModelStage",
    "Outcome",
    "Priority",
    "Role",
    "RootCause",
    "Severity",
    "SiteRole",
    "TargetKind",
    "TrainingStatus",
    "Verdict",
]
