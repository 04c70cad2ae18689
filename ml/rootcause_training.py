"""Trains the root-cause model on simulated incidents, and measures it on others: no labelled real ones exist."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.causes import CLASSIFIED, NAMED, RootCause
from ml.classifier import TREES, Classifier, ClassifierFeature
from ml.correlation import features_of
from ml.evaluation import calibration_error
from ml.events import Event, events
from ml.localization import Explanation, explanations
from ml.metrics import Floats
from ml.models import Measure, Progress, Trained
from ml.plant import Plant
from ml.residuals import residuals
from ml.rootcause import RootCauseModel, certainty, opined, probable, unknown
from ml.rootcause_trials import judged, measured, request_of
from ml.scenarios import Scenario, Truth, healthy, scenario, truths
from ml.shown import shown

ALGORITHM: Final = "minimum explanation over the shared-risk graph, with gradient boosting over ten features"
INCIDENTS: Final = 182
DRAWN: Final = (*NAMED, *CLASSIFIED)  # in turn: the classifier learns from its own four only
LONGEST_HOURS: Final = 24
HELD_OUT: Final = 60
HEALTHY: Final = 20
LARGEST: Final = 10  # links of a network, in training
HELD_OUT_SEED: Final = 900_001  # the same incidents for every version; no training uses them
SEEDS: Final = 1_000  # apart: incidents of two training seeds
SAME_SHARE: Final = 0.5  # of an event's and a fault's link directions: it is about it
TEMPERATURES: Final = np.geomspace(0.5, 6.0, 40)


@dataclass(frozen=True)
class Example:
    """An event of an incident, the cause of the fault that it is about, and what could explain it."""

    cause: RootCause
    explained: list[Explanation]
    features: Floats | None


def train(
    seed: int = 1, progress: Progress = lambda _done, _what: None, champion: RootCauseModel | None = None
) -> Trained:
    """A version learned from the incidents of `seed`, with a champion measured on the same held-out ones."""
    examples = []
    for number in range(INCIDENTS):
        progress(0.6 * number / INCIDENTS, "simulating incidents")
        examples += list(_examples(scenario(seed * SEEDS + number, DRAWN[number % len(DRAWN)], LARGEST, LONGEST_HOURS)))
    progress(0.6, "learning from them")
    model = fitted(examples, seed)
    progress(0.65, "measuring on incidents that it has never seen")
    measures = held_out(model)
    rival = held_out(champion) if champion else ()
    progress(1.0, "done")
    return Trained(
        artefact=model.to_bytes(),
        algorithm=ALGORITHM,
        features=tuple(feature.value for feature in ClassifierFeature),
        hyperparameters={"trees": TREES, "classes": len(CLASSIFIED), "temperature": model.temperature},
        seed=seed,
        samples=len(examples),
        details={"trained_on": "simulated incidents", "incidents": INCIDENTS},
        measures=measures,
        rival_measures=rival,
    )


def fitted(examples: list[Example], seed: int) -> RootCauseModel:
    """Classifier, temperature and confidence from examples; the confidence by cross-fitting the classifier."""
    rows = [one for one in examples if one.features is not None and one.cause in CLASSIFIED]
    features, labels = _table(rows)
    classifier = Classifier.fit(features, labels, seed)
    honest = _cross_fitted(examples, seed)
    temperature = float(TEMPERATURES[int(np.argmin([_loss(honest, at) for at in TEMPERATURES]))])
    ranked = [(example, probable(explained, temperature)) for example, explained in honest]
    known = [(certainty(one), one[0].cause is example.cause) for example, one in ranked if not unknown(one)]
    x, y = _isotonic(np.array([sure for sure, _ in known]), np.array([right for _, right in known]))
    return RootCauseModel(classifier, temperature, x, y)


def _table(rows: list[Example]) -> tuple[Floats, NDArray[np.int64]]:
    features = np.stack([one.features for one in rows if one.features is not None])
    return features, np.array([CLASSIFIED.index(one.cause) for one in rows], dtype=np.int64)


def _cross_fitted(examples: list[Example], seed: int) -> list[tuple[Example, list[Explanation]]]:
    """Every example with the opinion of a classifier that has not seen it."""
    fold = np.arange(len(examples)) * 3 // max(1, len(examples))  # consecutive ones are of the same incidents
    told = []
    for part in range(3):
        rest = [one for one, of in zip(examples, fold, strict=True) if of != part]
        rows = [one for one in rest if one.features is not None and one.cause in CLASSIFIED]
        classifier = Classifier.fit(*_table(rows), seed)
        own = (one for one, of in zip(examples, fold, strict=True) if of == part)
        told += [(one, opined(classifier, one.explained, one.features)) for one in own]
    return told


def _loss(told: list[tuple[Example, list[Explanation]]], temperature: float) -> float:
    losses = []
    for example, explained in told:
        right = sum(one.probability for one in probable(explained, temperature) if one.cause is example.cause)
        losses.append(-np.log(max(right, 1e-6)))
    return float(np.mean(losses))


def _isotonic(sure: Floats, right: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The map from posterior to observed frequency, one imaginary right and wrong answer in each third keeping it sober."""
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 - a server that only analyses must not pay for it

    x = np.concatenate([sure, [0.1, 0.5, 0.99, 0.1, 0.5, 0.99]])
    y = np.concatenate([right.astype(np.float64), [1, 1, 1, 0, 0, 0]])
    fit = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(x, y)
    return fit.X_thresholds_, fit.y_thresholds_


# ---------------------------------------------------------------- examples


def _examples(of: Scenario) -> Iterator[Example]:
    plant = Plant.of_fleet(of.fleet)
    found = residuals(plant, request_of(of))
    known = truths(of)
    for event in events(plant, found):
        cause = _about(plant, event, known, found.at)
        if cause is not None:
            seen = shown(plant, found, event)
            yield Example(cause, explanations(plant, event, seen), features_of(found, event, seen))


def _about(plant: Plant, event: Event, known: tuple[Truth, ...], at: NDArray[np.int64]) -> RootCause | None:
    """The cause of the fault that an event shows, if it is any."""
    links = len(plant.links)
    hit = {(int(plant.links[stream % links]), ("IB", "OB")[stream >= links]) for stream in event.hits.tolist()}
    active = at[event.active]
    for truth in known:
        wanted = {(link, way.value) for link, way in truth.hit}
        during = ((active >= truth.onset_ms - 600_000) & (active <= truth.end_ms + 600_000)).mean()
        if during > SAME_SHARE and len(hit & wanted) >= SAME_SHARE * max(len(hit), 0.6 * len(wanted)):
            return truth.cause
    return None


# ---------------------------------------------------------------- measuring


def held_out(model: RootCauseModel, incidents: int = HELD_OUT, quiet: int = HEALTHY, largest: int = LARGEST) -> tuple[Measure, ...]:
    """Accuracy, culprit, overlap, onset and calibration on incidents and healthy windows that no training uses."""
    drawn = [scenario(HELD_OUT_SEED + number, NAMED[number % len(NAMED)], largest) for number in range(incidents)]
    answers = [judged(one, model) for one in drawn]
    silent = [judged(healthy(HELD_OUT_SEED + number, largest), model) for number in range(quiet)]
    return (*measured(answers, silent, "simulated incidents"), *_classified(model, drawn))


def _classified(model: RootCauseModel, drawn: list[Scenario]) -> tuple[Measure, ...]:
    """Of the classifier alone, by its ten features."""
    examples = [one for of in drawn for one in _examples(of) if one.features is not None and one.cause in CLASSIFIED]
    if not examples:
        return ()
    features, labels = _table(examples)
    chances = model.classifier.probabilities(features)
    best, sure = chances.argmax(axis=1), chances.max(axis=1)
    decided = sure >= model.classifier.abstains_below
    right = best == labels
    values = {
        "classifier_accuracy": float(right[decided].mean()) if decided.any() else 0.0,
        "classifier_abstained": float((~decided).mean()),
        "classifier_calibration_error": calibration_error(sure, right),
    }
    return tuple(Measure(name, value, len(labels), "simulated incidents") for name, value in values.items())
