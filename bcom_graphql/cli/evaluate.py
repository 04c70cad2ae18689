"""`bcom-graphql evaluate`: compares detectors on labelled series."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, isnan
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from time import perf_counter
from typing import Annotated, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bcom_graphql.cli.series_folder import read_index, read_series
from ml.benchmark import protocol
from ml.benchmark.dataset import SeriesInfo, UnusableSeries, select_series
from ml.benchmark.protocol import Figures, Group, Scorer, SeriesResult
from resolvers.base.errors import ClientError, InvalidInput


class DetectorChoice(StrEnum):
    """What can be evaluated: the server's own detector, and what it must beat."""

    OURS = "ours"
    ISOLATION_FOREST = "isolation-forest"
    MEDIAN_MAD = "median-mad"


NAMES: Final = {
    DetectorChoice.OURS: "ours",
    DetectorChoice.ISOLATION_FOREST: "Isolation Forest",
    DetectorChoice.MEDIAN_MAD: "median/MAD",
}
FIGURES: Final = (
    "VUS-PR",
    "AUC-PR",
    "caught",
    "precision",
    "in use: caught",
    "false alarms a day",
    "delay",
    "µs per row",
)
WIDTH: Final = 120  # of what is not written to a terminal
ALL: Final = tuple(DetectorChoice)
WAKE_SECONDS: Final = 0.5  # with Polars imported, an interrupt does not end a wait
CORES: Final = os.cpu_count() or 1

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Task:
    """One detector on one series."""

    choice: DetectorChoice
    folder: Path
    info: SeriesInfo
    budget: float


@app.command()
def evaluate(
    *,
    folder: Annotated[Path, typer.Argument(help="Labelled series in the uniform format: series.csv and Parquet.")],
    dataset: Annotated[list[str] | None, typer.Option(help="Only this one; repeatable. Omitted: all.")] = None,
    budget: Annotated[float, typer.Option(min=0.001, help="False alarms a day.")] = 1.0,
    detector: Annotated[
        list[DetectorChoice] | None, typer.Option(help="Only this one; repeatable. Omitted: all.")
    ] = None,
    by_dataset: Annotated[bool, typer.Option("--by-dataset", help="With a row for each data set.")] = False,
    max_series: Annotated[int | None, typer.Option(min=1, help="Of each data set, the first so many.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = CORES,
) -> None:
    """Compare the detector with simpler ones on labelled series unseen by all."""
    if not isfinite(budget):
        raise InvalidInput("The budget must be a finite number of false alarms a day.")
    choices = [one for one in DetectorChoice if one in (detector or ALL)]
    with _report_as_bad_input():
        series = select_series(read_index(folder), dataset or [], max_series)
        series.sort(key=lambda info: -info.metrics)  # the longest first, so that processes end together
        tasks = [Task(one, folder, info, budget) for info in series for one in choices]
        measured = _measure_all(tasks, jobs)
    _report({one: measured[one] for one in choices}, budget, by_dataset)


@contextmanager
def _report_as_bad_input() -> Iterator[None]:
    try:
        yield
    except UnusableSeries as error:
        raise InvalidInput(str(error)) from error


# ---------------------------------------------------------------- measuring


def _measure_all(tasks: Sequence[Task], jobs: int) -> Mapping[DetectorChoice, Sequence[SeriesResult]]:
    measured: dict[DetectorChoice, list[SeriesResult]] = {task.choice: [] for task in tasks}
    columns = (TextColumn("{task.description:45}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        shown = bar.add_task("Evaluating", total=len(tasks))
        for task, one in _done(tasks, min(jobs, len(tasks))):
            measured[task.choice].append(one)
            bar.update(shown, advance=1, description=f"Evaluating: {task.info.name}"[:45])
    return measured


def _done(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, SeriesResult]]:
    """Each as it ends, here or in other processes."""
    if jobs == 1:
        yield from ((task, _measure(task)) for task in tasks)
        return
    with _processes(jobs) as pool:
        futures = {pool.submit(_measure, task): task for task in tasks}
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, WAKE_SECONDS, FIRST_COMPLETED)
            yield from ((futures[future], future.result()) for future in done)


@contextmanager
def _processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Spawned, for a fork would copy locks that Polars' threads hold; ended at once when something goes wrong."""
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _begin)
    try:
        yield pool
    except BaseException as error:
        for child in active_children():
            child.terminate()
        if isinstance(error, BrokenProcessPool):
            raise ClientError("A measuring process was ended, perhaps for want of memory: try fewer --jobs.") from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """A process that measures ends with its parent, however that ends, and in silence."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _measure(task: Task) -> SeriesResult:
    """Raises UnusableSeries."""
    scorer = _scorer(task.choice)
    series = read_series(task.folder, task.info)
    parts = protocol.split_series(series)
    began = perf_counter()
    try:
        scores = scorer(parts.train, parts.rest, parts.context)
    except Exception as error:
        error.add_note(f"It happened on the series {task.info.name}.")
        raise
    return protocol.measure_series(series, parts, scores, perf_counter() - began, task.budget)


def _scorer(choice: DetectorChoice) -> Scorer:
    """Other commands must not pay for importing what learns."""
    if choice is DetectorChoice.OURS:
        from ml.detection import series_detector

        return series_detector.score
    from ml.benchmark import reference_detectors

    if choice is DetectorChoice.ISOLATION_FOREST:
        return reference_detectors.score_isolation_forest
    return reference_detectors.score_median_mad


# ---------------------------------------------------------------- telling


def _report(measured: Mapping[DetectorChoice, Sequence[SeriesResult]], budget: float, by_dataset: bool) -> None:
    groups = {choice: protocol.group_by_dataset(series) for choice, series in measured.items()}
    first = next(iter(groups.values()))
    means = {one: protocol.average_groups(each) for one, each in groups.items()}
    table = _table(["data set", "detector"] if by_dataset else ["detector"])
    for order, group in enumerate(first if by_dataset else ()):
        name = group.dataset if group.counts else f"{group.dataset}, under a day"
        _add(table, [name], {one: protocol.summarise(each[order].series) for one, each in groups.items()})
    _add(table, ["mean"] if by_dataset else [], means)
    out = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    out.print(table)
    for sentence in _notes(first, next(iter(means.values())), budget):
        out.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _table(names: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for name in names:
        table.add_column(name, no_wrap=True)
    for name in FIGURES:
        table.add_column(name, justify="right")
    return table


def _add(table: Table, name: Sequence[str], figures: Mapping[DetectorChoice, Figures]) -> None:
    for choice, one in figures.items():
        shares = [_share(each) for each in (one.vus_pr, one.auc_pr, one.recall, one.precision, one.deployed_recall)]
        false_alarms = f"{one.false_alarms_per_day:.2f} ({one.median_false_alarms_per_day:.2f})"
        delay = "–" if isnan(one.delay) else f"{one.delay:.1f}"
        style = "bold" if choice is DetectorChoice.OURS else None
        rest = (false_alarms, delay, f"{one.microseconds_per_row:,.1f}")
        table.add_row(*name, NAMES[choice], *shares, *rest, style=style)
    table.add_section()


def _share(value: float) -> str:
    return "–" if isnan(value) else f"{value:.3f}"


def _notes(groups: Sequence[Group], mean: Figures, budget: float) -> Iterator[str]:
    yield f"The mean is over {_listed([group for group in groups if group.counts])}."
    if short := [group for group in groups if not group.counts]:
        yield f"Not in it, for less than a day of each was tested: {_listed(short)}."
    most = f"{budget:g} false alarm{'s' * (budget != 1.0)} a day"
    yield f"Caught and precision: events, with the best threshold of those that cost at most {most}."
    yield "In use: with the threshold that earlier rows promised, without labels; false alarms: all (median series)."
    yield "Delay: rows from an event's start to its first alarm, the median. Time: learning and scoring, the median."
    if not isnan(mean.anomaly_rate):
        yield f"A random score would have an AUC-PR of {mean.anomaly_rate:.3f}."


def _listed(groups: Sequence[Group]) -> str:
    return ", ".join(f"{one.dataset} ({len(one.series)} series, {one.events} events)" for one in groups)
