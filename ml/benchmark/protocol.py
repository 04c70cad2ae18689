"""How detectors are compared on labelled series: what they may learn from, what is measured, and how it is averaged.

The first 70 % of a series' history is for learning. The rest of it is scored together with what follows, and sets the
threshold that a deployed detector would have; what follows is the test. No label is seen before the measuring.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from ml.benchmark.dataset import BrokenFolder, Series
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
LEAST_ROWS: Final = 8  # of learning
GREATEST: Final = 1e12  # stands for an infinite score

Scorer = Callable[[Floats, Floats, dict[str, Any]], Floats]  # train, what follows, context → scores of what follows


@dataclass(frozen=True)
class Split:
    """`calibration`: how many rows of `rest` precede the test; `truth` (rows of the test,)."""

    train: Floats
    rest: Floats
    context: dict[str, Any]
    calibration: int
    truth: Bools


@dataclass(frozen=True)
class Measured:
    """One series: `oracle` with the best threshold that keeps the budget, `deployed` with the one known beforehand."""

    dataset: str
    anomaly_rate: float
    vus_pr: float
    auc_pr: float
    oracle: Alarms
    deployed: Alarms
    microseconds_per_row: float

    @property
    def short(self) -> bool:
        """Whether less than a day was tested: a daily budget means nothing there."""
        return self.oracle.days < 1.0


@dataclass(frozen=True)
class Group:
    """Series of one data set; `counts`: in the mean over data sets."""

    dataset: str
    counts: bool
    series: tuple[Measured, ...]

    @property
    def events(self) -> int:
        return sum(one.oracle.events for one in self.series)


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


def split(series: Series) -> Split:
    """Raises BrokenFolder where a part would be empty."""
    entry = series.entry
    history = int(np.searchsorted(series.at, entry.train_end))
    if history < LEAST_ROWS or history == len(series.at):
        found = f"{history} of its {len(series.at)} rows are"
        raise BrokenFolder(
            f"{entry.name} needs {LEAST_ROWS} rows before its train_end and one after it; {found} before."
        )
    learning = max(int(LEARNING_SHARE * history), LEAST_ROWS)
    context = {
        "train_ts": series.at[:learning],
        "test_ts": series.at[learning:],
        "cadence_s": entry.cadence_s,
        "series_id": entry.name,
    }
    values = series.values
    return Split(values[:learning], values[learning:], context, history - learning, series.truth[history:])


def measured(series: Series, parts: Split, scores: Floats, seconds: float, budget_per_day: float) -> Measured:
    """How good these scores of `parts.rest` are. Raises ValueError where they are not one for each row."""
    if scores.shape != (len(parts.rest),):
        raise ValueError(f"{len(parts.rest)} rows have scores of the shape {scores.shape}")
    finite = np.nan_to_num(scores.astype(np.float64), nan=0.0, posinf=GREATEST, neginf=-GREATEST)
    before, scored, truth = finite[: parts.calibration], finite[parts.calibration :], parts.truth
    cadence = series.entry.cadence_s
    gap, days = merge_gap_rows(cadence), len(scored) * cadence / DAY_SECONDS
    allowed = allowed_episodes(budget_per_day, days)
    allowed_before = allowed_episodes(budget_per_day, len(before) * cadence / DAY_SECONDS)
    best = find_threshold(scored, ~mask_near_events(truth), allowed, gap)
    known = find_threshold(before, np.ones(len(before), dtype=bool), allowed_before, gap)
    return Measured(
        dataset=series.entry.dataset,
        anomaly_rate=float(truth.mean()),
        vus_pr=vus_pr(truth, scored),
        auc_pr=average_precision(truth, scored),
        oracle=count_alarms(truth, scored, best, gap, days),
        deployed=count_alarms(truth, scored, known, gap, days),
        microseconds_per_row=1e6 * seconds / len(scores),
    )


def summarised(series: Sequence[Measured]) -> Figures:
    """Ranking is the mean over the series with events; events and false alarms are pooled; the rest is the median."""
    oracle, deployed = sum_alarms(one.oracle for one in series), sum_alarms(one.deployed for one in series)
    eventful = [one for one in series if one.oracle.events]
    return Figures(
        anomaly_rate=_mean(one.anomaly_rate for one in eventful),
        vus_pr=_mean(one.vus_pr for one in eventful),
        auc_pr=_mean(one.auc_pr for one in eventful),
        recall=oracle.recall,
        precision=oracle.precision,
        deployed_recall=deployed.recall,
        false_alarms_per_day=deployed.false_alarms_per_day,
        median_false_alarms_per_day=float(np.median([one.deployed.false_alarms_per_day for one in series])),
        delay=deployed.delay,
        microseconds_per_row=float(np.median([one.microseconds_per_row for one in series])),
    )


def grouped(series: Sequence[Measured]) -> list[Group]:
    """By data set; series that were tested for less than a day by themselves, behind the others.

    These count in no mean, for a daily budget says nothing of them; but where there are no others, they do.
    """
    long, short = ([one for one in series if one.short is shortness] for shortness in (False, True))
    return [*_groups(long, counts=True), *_groups(short, counts=not long)]


def _groups(series: Sequence[Measured], *, counts: bool) -> list[Group]:
    names = sorted({one.dataset for one in series})
    return [Group(name, counts, tuple(one for one in series if one.dataset == name)) for name in names]


def averaged(groups: Sequence[Group]) -> Figures:
    """The mean over the data sets that count: a big one does not rule. Of each figure, over those that have it."""
    every = [summarised(group.series) for group in groups if group.counts]
    return Figures(**{field.name: _mean(getattr(one, field.name) for one in every) for field in fields(Figures)})


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else np.nan
