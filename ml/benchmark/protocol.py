"""How detectors are compared on labelled series: what they learn from, what is measured, and how it is averaged.

A detector learns from the first 70 % of a series' history. It scores the rest of the history and the test rows behind
it; the rest sets the threshold that a deployed detector would have. No label is seen before the measuring.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from ml.benchmark.dataset import Series, UnusableSeries
from ml.catalogue.units import DAY_SECONDS
from ml.numerics.arrays import Bools, Floats
from ml.numerics.scores import (
    Alarms,
    allowed_episodes,
    average_precision,
    count_alarms,
    find_threshold,
    mask_near_events,
    merge_gap_rows,
    sum_alarms,
    vus_pr,
)

LEARNING_SHARE: Final = 0.7
MIN_LEARNING_ROWS: Final = 8
GREATEST: Final = 1e12  # stands for an infinite score

Scorer = Callable[[Floats, Floats, dict[str, Any]], Floats]  # train, rest, context → scores of the rest


@dataclass(frozen=True)
class Split:
    """The parts of one series.

    train: what a detector learns from, shape (rows, metrics).
    rest: what it scores, shape (rows, metrics).
    context: see `ml.detection.series_detector.score`.
    calibration: how many rows of `rest` precede the test.
    truth: which test rows lie in an event, shape (test rows,).
    """

    train: Floats
    rest: Floats
    context: dict[str, Any]
    calibration: int
    truth: Bools


@dataclass(frozen=True)
class SeriesResult:
    """How good the scores of one series are.

    oracle: alarms at the best threshold that keeps the budget.
    deployed: alarms at the threshold that is known before the test.
    """

    dataset: str
    anomaly_rate: float
    vus_pr: float
    auc_pr: float
    oracle: Alarms
    deployed: Alarms
    microseconds_per_row: float

    @property
    def short(self) -> bool:
        """Whether less than a day was tested, for which a daily budget means nothing."""
        return self.oracle.days < 1.0


@dataclass(frozen=True)
class Group:
    """The results of one data set; `counts`: in the mean over data sets."""

    dataset: str
    counts: bool
    series: tuple[SeriesResult, ...]

    @property
    def events(self) -> int:
        return sum(result.oracle.events for result in self.series)


@dataclass(frozen=True)
class Figures:
    """Of many series, or the mean over data sets. A random score's AUC-PR is the anomaly rate; the delay is in rows."""

    anomaly_rate: float
    vus_pr: float
    auc_pr: float
    recall: float
    precision: float
    deployed_recall: float
    false_alarms_per_day: float
    median_false_alarms_per_day: float
    delay: float
    microseconds_per_row: float


def split_series(series: Series) -> Split:
    """Splits a series in time. Raises UnusableSeries where a part would be empty."""
    info = series.info
    history = int(np.searchsorted(series.at, info.train_end))
    if history < MIN_LEARNING_ROWS or history == len(series.at):
        present = f"{history} of its {len(series.at)} rows are"
        raise UnusableSeries(
            f"{info.name} needs {MIN_LEARNING_ROWS} rows before its train_end and one after it; {present} before."
        )
    learning = max(int(LEARNING_SHARE * history), MIN_LEARNING_ROWS)
    context = {
        "train_ts": series.at[:learning],
        "test_ts": series.at[learning:],
        "cadence_s": info.cadence_s,
        "series_id": info.name,
    }
    values = series.values
    return Split(values[:learning], values[learning:], context, history - learning, series.truth[history:])


def measure_series(series: Series, parts: Split, scores: Floats, seconds: float, budget_per_day: float) -> SeriesResult:
    """Measures scores of `parts.rest`, shape (rows,). Raises ValueError for another shape.

    seconds: that learning and scoring took.
    budget_per_day: false alarms.
    """
    if scores.shape != (len(parts.rest),):
        raise ValueError(f"{len(parts.rest)} rows have scores of the shape {scores.shape}")
    finite = np.nan_to_num(scores.astype(np.float64), nan=0.0, posinf=GREATEST, neginf=-GREATEST)
    before, scored, truth = finite[: parts.calibration], finite[parts.calibration :], parts.truth
    cadence = series.info.cadence_s
    gap, days = merge_gap_rows(cadence), len(scored) * cadence / DAY_SECONDS
    allowed = allowed_episodes(budget_per_day, days)
    allowed_before = allowed_episodes(budget_per_day, len(before) * cadence / DAY_SECONDS)
    best = find_threshold(scored, ~mask_near_events(truth), allowed, gap)
    promised = find_threshold(before, np.ones(len(before), dtype=bool), allowed_before, gap)
    return SeriesResult(
        dataset=series.info.dataset,
        anomaly_rate=float(truth.mean()),
        vus_pr=vus_pr(truth, scored),
        auc_pr=average_precision(truth, scored),
        oracle=count_alarms(truth, scored, best, gap, days),
        deployed=count_alarms(truth, scored, promised, gap, days),
        microseconds_per_row=1e6 * seconds / len(scores),
    )


def summarise(results: Sequence[SeriesResult]) -> Figures:
    """Returns the mean of ranking figures over the series with events, and the median of times and false alarms.

    Events and false alarms of all series are pooled.
    """
    oracle, deployed = (
        sum_alarms(result.oracle for result in results),
        sum_alarms(result.deployed for result in results),
    )
    eventful = [result for result in results if result.oracle.events]
    return Figures(
        anomaly_rate=_mean(result.anomaly_rate for result in eventful),
        vus_pr=_mean(result.vus_pr for result in eventful),
        auc_pr=_mean(result.auc_pr for result in eventful),
        recall=oracle.recall,
        precision=oracle.precision,
        deployed_recall=deployed.recall,
        false_alarms_per_day=deployed.false_alarms_per_day,
        median_false_alarms_per_day=float(np.median([result.deployed.false_alarms_per_day for result in results])),
        delay=deployed.delay,
        microseconds_per_row=float(np.median([result.microseconds_per_row for result in results])),
    )


def group_by_dataset(results: Sequence[SeriesResult]) -> list[Group]:
    """Groups results by data set; those of series tested for less than a day form groups of their own, at the end.

    These count in no mean, as a daily budget says nothing of them; but where there are no others, they do.
    """
    long, short = ([result for result in results if result.short is shortness] for shortness in (False, True))
    return [*_group(long, counts=True), *_group(short, counts=not long)]


def _group(results: Sequence[SeriesResult], *, counts: bool) -> list[Group]:
    names = sorted({result.dataset for result in results})
    return [Group(name, counts, tuple(result for result in results if result.dataset == name)) for name in names]


def average_groups(groups: Sequence[Group]) -> Figures:
    """Returns the mean over the data sets that count, so that a big one does not rule; of each figure that is known."""
    every = [summarise(group.series) for group in groups if group.counts]
    names = [field.name for field in fields(Figures)]
    return Figures(**{name: _mean(getattr(figures, name) for figures in every) for name in names})


def _mean(values: Iterable[float]) -> float:
    present = [value for value in values if not np.isnan(value)]
    return float(np.mean(present)) if present else np.nan
