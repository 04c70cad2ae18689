"""Models by name from the bytes of their artefacts: the only place that knows every kind of model."""

from typing import TypeAlias

from ml.catalogue.models import DETECTORS, PRIORITY, RANKING, ROOT_CAUSE
from ml.detection.detector import Detector
from ml.recommendation.ranking import PriorityModel, RankingModel
from ml.root_cause.model import RootCauseModel

Fitted: TypeAlias = Detector | RootCauseModel | RankingModel | PriorityModel


def load(name: str, artefact: bytes, version: str) -> Fitted:
    """Returns the named model, read from its artefact.

    Raises KeyError for an unknown name, ValueError if the artefact is damaged or another model's.
    """
    if name == ROOT_CAUSE:
        return RootCauseModel.from_bytes(artefact, version)
    if name == RANKING:
        return RankingModel.from_bytes(artefact, version)
    if name == PRIORITY:
        return PriorityModel.from_bytes(artefact, version)
    kind = DETECTORS[name]
    detector = Detector.from_bytes(artefact, version)
    if detector.kind is not kind:
        raise ValueError(f"this artefact is a model of a {detector.kind.lower()}, not {name}")
    return detector
