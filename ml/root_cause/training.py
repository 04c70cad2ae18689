"""Trains the root-cause model on simulated incidents and measures it on others: no labelled real ones exist."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np

from ml.catalogue.models import Measure, Progress, Trained
from ml.catalogue.root_causes import CLASSIFIED, NAMED
from ml.numerics.arrays import Bools, Floats
from ml.numerics.scores import calibration_error
from ml.root_cause.classifier import TREES, Classifier, ClassifierFeature
from ml.root_cause.evaluation import Outcome, build_request, compute_measures, evaluate_request, evaluate_scenario
from ml.root_cause.incidents import draw_healthy_scenario, draw_scenario
from ml.root_cause.localization import Explanation
from ml.root_cause.model import (
    RootCauseModel,
    compute_posterior,
    is_unknown,
    with_classifier_evidence,
)
from ml.root_cause.training_examples import Example, extract_examples, stack_examples
from ml.root_cause.young_incidents import build_alarmed_request, draw_early_scenario

ALGORITHM: Final = "minimum explanation over the shared-risk graph, with gradient boosting over ten features"
INCIDENTS: Final = 182
DRAWN: Final = (*NAMED, *CLASSIFIED)  # in turn: the classifier learns from its own four causes only
LONGEST_HOURS: Final = 24
YOUNG: Final = 300  # further incidents, seen early, of all causes in turn
HELD_OUT: Final = 60
HELD_OUT_YOUNG: Final = 60
HEALTHY: Final = 20
LARGEST: Final = 10  # links of a network, in training
HELD_OUT_SEED: Final = 900_001  # the same incidents for every version; no training uses them
SEEDS: Final = 1_000  # between the incidents of two training seeds
TEMPERATURES: Final = np.geomspace(0.5, 6.0, 40)
FOLDS: Final = 3
PSEUDO_POSTERIORS: Final = (0.1, 0.5, 0.99)  # of one right and one wrong pseudo-answer each
YOUNG_MEASURES: Final = ("accuracy", "culprit_accuracy", "calibration_error")
SIMULATED: Final = "simulated incidents"


def train(
    seed: int = 1,
    progress: Progress = lambda _done, _what: None,
    champion: RootCauseModel | None = None,
    *,
    incidents: int = INCIDENTS,
    young: int = YOUNG,
    held_out: int = HELD_OUT,
    held_out_young: int = HELD_OUT_YOUNG,
    healthy: int = HEALTHY,
) -> Trained:
    """Returns a version learned from the incidents of `seed`, and its measures beside the champion's.

    incidents, young: to learn from, as they are later and early. held_out, held_out_young, healthy: incidents and
    healthy windows to measure both on.
    """
    examples: list[Example] = []
    for number in range(incidents):
        progress(0.4 * number / incidents, "simulating incidents")
        cause = DRAWN[number % len(DRAWN)]
        incident = draw_scenario(seed * SEEDS + number, cause, LARGEST, LONGEST_HOURS)
        examples += extract_examples(incident, build_request(incident))
    for number in range(young):
        progress(0.4 + 0.2 * number / young, "simulating incidents that have just begun")
        early = draw_early_scenario(seed * SEEDS + number, NAMED[number % len(NAMED)])
        examples += extract_examples(early, *build_alarmed_request(early))
    progress(0.6, "learning from them")
    model = fit_model(examples, seed)
    progress(0.65, "measuring on incidents that it has never seen")
    measures = measure_held_out(model, held_out, healthy, young=held_out_young)
    rival = measure_held_out(champion, held_out, healthy, young=held_out_young) if champion else ()
    progress(1.0, "done")
    return Trained(
        artefact=model.to_bytes(),
        algorithm=ALGORITHM,
        features=tuple(feature.value for feature in ClassifierFeature),
        hyperparameters={"trees": TREES, "classes": len(CLASSIFIED), "temperature": model.temperature},
        seed=seed,
        samples=len(examples),
        details={"trained_on": SIMULATED, "incidents": incidents, "young_incidents": young},
        measures=measures,
        rival_measures=rival,
    )


def fit_model(examples: list[Example], seed: int) -> RootCauseModel:
    """Returns a model fitted to examples: classifier, temperature, and confidence by cross-fitting the classifier."""
    classifier = Classifier.fit(*stack_examples(examples), seed)
    scored = _cross_fit(examples, seed)
    temperature = float(TEMPERATURES[int(np.argmin([_loss(scored, at) for at in TEMPERATURES]))])
    ranked = [(example, compute_posterior(explanations, temperature)) for example, explanations in scored]
    maps = [_fit_confidence([one for one in ranked if one[0].alarmed is alarmed]) for alarmed in (False, True)]
    (x, y), (alarmed_x, alarmed_y) = maps
    return RootCauseModel(classifier, temperature, x, y, alarmed_x, alarmed_y)


def _fit_confidence(ranked: Iterable[tuple[Example, list[Explanation]]]) -> tuple[Floats, Floats]:
    """Returns the knots of the map from the best explanation's posterior to how often it is right."""
    answers = [
        (explanations[0].probability, example.is_right(explanations[0]))
        for example, explanations in ranked
        if not is_unknown(explanations)
    ]
    return _isotonic(np.array([sure for sure, _ in answers]), np.array([right for _, right in answers], dtype=np.bool_))


def _cross_fit(examples: list[Example], seed: int) -> list[tuple[Example, list[Explanation]]]:
    """Returns every example with its explanations, scored with a classifier that was not fitted to it."""
    edges = [-(-part * len(examples) // FOLDS) for part in range(FOLDS + 1)]  # neighbours are of the same incident
    scored = []
    for start, stop in pairwise(edges):
        classifier = Classifier.fit(*stack_examples([*examples[:start], *examples[stop:]]), seed)
        scored += [
            (one, with_classifier_evidence(classifier, one.explanations, one.features)) for one in examples[start:stop]
        ]
    return scored


def _loss(scored: list[tuple[Example, list[Explanation]]], temperature: float) -> float:
    """Returns the mean negative log-likelihood of the true causes, nats."""
    losses = []
    for example, explanations in scored:
        posterior = compute_posterior(explanations, temperature)
        right = sum(one.probability for one in posterior if one.cause is example.cause)
        losses.append(-np.log(max(right, 1e-6)))
    return float(np.mean(losses))


def _isotonic(sure: Floats, right: Bools) -> tuple[Floats, Floats]:
    """Returns the knots of the map from posterior to observed frequency, regularised by pseudo-answers."""
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 - a server that only analyses must not pay for it

    pseudo = len(PSEUDO_POSTERIORS)
    x = np.concatenate([sure, PSEUDO_POSTERIORS, PSEUDO_POSTERIORS])
    y = np.concatenate([right.astype(np.float64), np.ones(pseudo), np.zeros(pseudo)])
    fit = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(x, y)
    return fit.X_thresholds_, fit.y_thresholds_


def measure_held_out(
    model: RootCauseModel,
    incidents: int = HELD_OUT,
    healthy: int = HEALTHY,
    largest: int = LARGEST,
    young: int = HELD_OUT_YOUNG,
) -> tuple[Measure, ...]:
    """Returns measures of cause, culprit, links, onset and calibration on incidents that no training uses.

    healthy: healthy windows, to count false patterns in. largest: links of a network. young: incidents seen early.
    """
    answers: list[Outcome] = []
    examples: list[Example] = []
    for number in range(incidents):
        incident = draw_scenario(HELD_OUT_SEED + number, NAMED[number % len(NAMED)], largest)
        request = build_request(incident)
        answers.append(evaluate_request(incident, request, model))
        examples += extract_examples(incident, request)
    calm = [draw_healthy_scenario(HELD_OUT_SEED + number, largest) for number in range(healthy)]
    false = [evaluate_scenario(one, model) for one in calm]
    late = compute_measures(answers, false, SIMULATED)
    return (*late, *_measure_young(model, young), *_measure_classifier(model, examples))


def _measure_young(model: RootCauseModel, young: int) -> tuple[Measure, ...]:
    """Returns measures of cause, culprit and calibration on incidents that are seen while they are young."""
    early = (draw_early_scenario(HELD_OUT_SEED + number, NAMED[number % len(NAMED)]) for number in range(young))
    measures = compute_measures([evaluate_scenario(one, model) for one in early], (), SIMULATED)
    return tuple(replace(one, name=f"young_{one.name}") for one in measures if one.name in YOUNG_MEASURES)


def _measure_classifier(model: RootCauseModel, examples: list[Example]) -> tuple[Measure, ...]:
    """Returns measures of the classifier alone."""
    if not any(one.is_classifiable for one in examples):
        return ()
    features, labels = stack_examples(examples)
    chances = model.classifier.probabilities(features)
    best, sure = chances.argmax(axis=1), chances.max(axis=1)
    decided = sure >= model.classifier.abstains_below
    right = best == labels
    values = {
        "classifier_accuracy": float(right[decided].mean()) if decided.any() else 0.0,
        "classifier_abstained": float((~decided).mean()),
        "classifier_calibration_error": calibration_error(sure, right),
    }
    return tuple(Measure(name, value, len(labels), SIMULATED) for name, value in values.items())
