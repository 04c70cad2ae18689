"""Enumerations with their descriptions."""

from collections.abc import Mapping
from enum import StrEnum

import strawberry
from strawberry.types.enum import EnumValue

from ml.catalogue.metrics import CATALOGUE, Direction, Metric, TargetKind
from ml.catalogue.root_causes import CAUSES, RootCause
from ml.detection.episodes import Severity
from ml.recommendation.case import Outcome, Priority
from ml.recommendation.playbook.actions import Purpose
from resolvers.base.roles import Role
from resolvers.detection.anomalies import AnomalyChange, AnomalyOrder
from resolvers.incidents.changes import IncidentChange
from resolvers.incidents.incidents import IncidentOrder
from resolvers.store.tables.analyses import AnalysisScope
from resolvers.store.tables.core import AnomalyCategory, AnomalyStatus, Band, SiteRole, Verdict
from resolvers.store.tables.incidents import IncidentKind, IncidentStatus
from resolvers.store.tables.models import ModelStage, TrainingStatus
from resolvers.store.tables.recommendations import SupersededReason


def _describe(metric: Metric) -> str:
    specs = [(kind.kind, spec) for kind in CATALOGUE.values() for spec in kind.recorded_specs if spec.metric is metric]
    return " ".join(f"{kind.capitalize()}: {spec.described}" for kind, spec in specs)


def _enum(enumeration: type[StrEnum], description: str, values: Mapping[str, str] | None = None) -> None:
    strawberry.enum(enumeration, description=description)
    for name, text in (values or {}).items():
        _value(enumeration, name).description = text


def _value(enumeration: type[StrEnum], name: str) -> EnumValue:
    values: list[EnumValue] = enumeration.__strawberry_definition__.values  # type: ignore[attr-defined]
    [value] = (value for value in values if value.name == name)
    return value


_enum(
    Role,
    "What a user or an API key may do. Each role includes the ones before it.",
    {
        "VIEWER": "Reads the fleet, its telemetry, anomalies, analyses, recommendations and models.",
        "OPERATOR": "Also records metrics, detects, analyzes, asks for recommendations and handles anomalies.",
        "ADMIN": "Also manages users, the topology, models and sensitivities.",
    },
)
_enum(
    SiteRole,
    "What a site is for.",
    {"HUB": "A teleport: its antenna serves networks.", "REMOTE": "A terminal at the other end of links."},
)
_enum(
    Direction,
    "The direction of a link's carrier. Each is measured at its receiver.",
    {
        "IB": "Inbound: from the remote to the hub, measured at the hub.",
        "OB": "Outbound: from the hub to the remote, measured at the remote.",
    },
)
_enum(
    Band,
    "The frequency band of a network's carriers.",
    {"C": "C band, 4 to 8 GHz.", "KU": "Ku band, 12 to 18 GHz.", "KA": "Ka band, 26.5 to 40 GHz."},
)
_enum(TargetKind, "What samples are measured on and anomalies are detected on.")
_enum(
    AnomalyStatus,
    "How far an anomaly has been handled.",
    {
        "OPEN": "It lasts, and nobody has taken it.",
        "ACKNOWLEDGED": "It lasts, and somebody works on it.",
        "RESOLVED": "It has ended, by itself or by `resolveAnomaly`.",
    },
)
_enum(
    Severity,
    "How urgent an anomaly is. Severity is service: it follows the service grade, 0 (none) to 10 (perfect). A link's is"
    " the lower of its `GRADE` and of what Es/N0, loss, latency and uptime give; a site's follows from response time,"
    " errors, uptime, processor and memory, a network's from loss, latency, errors and the share of its remotes in"
    " service. From an hour on, LOW and MEDIUM are one step higher. Where nothing measured tells the service, the"
    " anomaly score, the number of metrics that take part and the duration stand in, and say HIGH at most.",
    {
        "LOW": "Unusual; the service is good.",
        "MEDIUM": "The service grade is below 8.5, or the measurements are very odd.",
        "HIGH": "The service grade is below 8, which is not healthy.",
        "CRITICAL": "The service grade is below 7: the target is as good as down, down, or silent.",
    },
)
_enum(
    Verdict,
    "What an operator found an anomaly to be.",
    {"TRUE_ALARM": "It was a real fault.", "FALSE_ALARM": "Nothing was wrong."},
)
_enum(
    AnomalyOrder,
    "The order of a list of anomalies.",
    {
        "NEWEST": "By start, latest first.",
        "OLDEST": "By start, earliest first.",
        "SEVERITY": "Most severe first; equally severe ones latest first.",
    },
)
_enum(
    AnomalyChange,
    "What happened to an anomaly.",
    {
        "OPENED": "It began.",
        "UPDATED": "Its severity rose, or an automatic analysis explained it.",
        "ACKNOWLEDGED": "Somebody took it with `acknowledgeAnomaly`.",
        "RESOLVED": "It ended, by itself or by `resolveAnomaly`.",
        "JUDGED": "Somebody recorded a verdict with `judgeAnomaly`.",
        "COMMENTED": "Somebody wrote a comment with `commentAnomaly`.",
        "MERGED": "Late samples show that it and another one are the same: `mergedInto` of one names the other.",
        "WITHDRAWN": "Late samples show that there was nothing unusual. It has ended, and lists leave it out.",
    },
)
_enum(
    AnomalyCategory,
    "What an anomaly is.",
    {"DEVIATION": "What was measured is not as usual.", "SILENCE": "Nothing is measured any more."},
)
_enum(
    IncidentKind,
    "What an incident is about.",
    {
        "FAULT": "Something degraded.",
        "NO_TELEMETRY": "A collector, or everything behind one, went quiet.",
        "FORECAST": "Something will degrade.",
    },
)
_enum(
    IncidentStatus,
    "How far an incident has been handled.",
    {
        "OPEN": "Nobody has acknowledged it.",
        "ACKNOWLEDGED": "Somebody works on it.",
        "MITIGATED": "It hurts less, but is not solved yet.",
        "RESOLVED": "It is solved, or was merged into another one.",
    },
)
_enum(
    IncidentOrder,
    "The order of a list of incidents.",
    {
        "WORST": "By severity, the highest first; then by affected links, most first; then by age, oldest first.",
        "NEWEST": "By start, latest first.",
        "OLDEST": "By start, earliest first.",
        "LAST_CHANGED": "By last change, latest first.",
    },
)
_enum(
    IncidentChange,
    "What happened to an incident.",
    {
        "OPENED": "It was announced.",
        "UPDATED": "The server learned more: its cause, its severity, its links or its end changed.",
        "ACKNOWLEDGED": "Somebody took it with `acknowledgeIncident`.",
        "ASSIGNED": "`assignIncident` gave it to somebody, or to nobody.",
        "COMMENTED": "Somebody wrote a comment.",
        "SNOOZED": "`snoozeIncident` snoozed it, or woke it up.",
        "MITIGATED": "Somebody said so with `mitigateIncident`.",
        "RESOLVED": "It was resolved, by itself or by `resolveIncident`.",
        "REOPENED": "It came back, or was reopened by `reopenIncident`.",
        "MERGED": "It was merged into another one, or another one into it.",
        "SPLIT": "Anomalies of it became another incident, or it was made of another's.",
    },
)
_enum(
    AnalysisScope,
    "Which links an analysis is about.",
    {
        "NETWORK": "All links of a network.",
        "HUB_ANTENNA": "All links that a hub's antenna serves.",
        "SATELLITE": "All links on a satellite.",
        "LINK": "Both directions of one link.",
    },
)
_enum(Priority, "How soon a recommendation should be acted on.")
_enum(
    Outcome,
    "What came of a recommendation. Only SOLVED and DID_NOT_HELP count in the success rate.",
    {
        "PENDING": "Nobody has recorded an outcome yet.",
        "ACCEPTED": "Somebody is acting on it.",
        "SOLVED": "It was done and solved the problem, or told which cause it is.",
        "DID_NOT_HELP": "It was done and did not solve the problem, or did not tell.",
        "REJECTED": "It will not be done.",
    },
)
_enum(
    Purpose,
    "What a recommendation is for.",
    {
        "REPAIR": "It may end the fault.",
        "NARROW_DOWN": "It tells the likeliest causes apart while none is certain enough for a repair.",
    },
)
_enum(
    SupersededReason,
    "Why a recommendation is no longer current.",
    {
        "CHANGED": "More became known of the fault: of its cause, its culprit or how certain they are.",
        "JOINED": "Its anomaly is part of an incident, which has recommendations of its own.",
        "ENDED": "The incident ended. An outcome can still be recorded.",
        "RESOLVED": "The incident was resolved. An outcome can still be recorded.",
        "MERGED": "The incident was merged into another one.",
    },
)
_enum(
    RootCause,
    "Why links degrade. The first four are told apart by the trained classifier, the others by rules and physics.",
    {cause.name: f"{spec.meaning[0].upper()}{spec.meaning[1:]}." for cause, spec in CAUSES.items()},
)
_enum(
    ModelStage,
    "Whether a model version is in use.",
    {
        "CANDIDATE": "Never promoted.",
        "CHAMPION": "In use.",
        "ARCHIVED": "Was in use before; another version took its place.",
    },
)
_enum(
    TrainingStatus,
    "How far a training run is.",
    {
        "QUEUED": "Waits for its turn.",
        "RUNNING": "Is training.",
        "SUCCEEDED": "Finished; `version` is what it trained.",
        "FAILED": "Stopped; `message` says why and what to do.",
    },
)
_enum(
    Metric,
    "What is measured. The description of each gives its unit and the values accepted.\n"
    + "\n".join(f"{kind.kind.capitalize()}: {' '.join(kind.recorded_metrics)}." for kind in CATALOGUE.values())
    + "\nRead only where named, and never scored: "
    + " ".join(spec.metric for kind in CATALOGUE.values() for spec in kind.context_specs)
    + ".",
    {metric.name: _describe(metric) for metric in Metric},
)

__all__ = [
    "AnalysisScope",
    "AnomalyCategory",
    "AnomalyChange",
    "AnomalyOrder",
    "AnomalyStatus",
    "Band",
    "Direction",
    "IncidentChange",
    "IncidentKind",
    "IncidentOrder",
    "IncidentStatus",
    "Metric",
    "ModelStage",
    "Outcome",
    "Priority",
    "Purpose",
    "Role",
    "RootCause",
    "Severity",
    "SiteRole",
    "SupersededReason",
    "TargetKind",
    "TrainingStatus",
    "Verdict",
]
