"""Comparing detectors on a folder of labelled series, as one does on the command line."""

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bcom_graphql.cli import commands as cli
from bcom_graphql.cli.series_folder import read_index, read_series
from ml.benchmark import protocol, reference_detectors
from ml.benchmark.dataset import UnusableSeries, select_series
from ml.benchmark.protocol import Scorer, SeriesResult
from tests.helpers.places import SHARED
from tests.helpers.processes import run

JUDGE = SHARED / "tools" / "evaluate.py"
START = 1_700_000_000
INDEX = "series_id,file,dataset,n_rows,n_metrics,metrics,cadence_s,train_end,events,events_test,anomaly_rate_test"

Command = Callable[..., tuple[int, str, str]]


def series(name: str, rows: int, cadence: int, events: list[int], gaps: bool = True) -> pl.DataFrame:
    """Two noisy metrics; for ten rows from each of `events`, the first is far off."""
    rng = np.random.default_rng(len(name) + rows)
    values, truth = rng.normal(size=(rows, 2)), np.zeros(rows, dtype=np.int8)
    for first in events:
        truth[first : first + 10] = 1
        values[first : first + 10, 0] += 4.0
    if gaps:
        values[rng.integers(0, rows, 20), 1] = np.nan
    at = pl.Series(START + cadence * np.arange(rows)) * 1000
    columns = {"m00": values[:, 0], "m01": values[:, 1], "is_anomaly": truth}
    table = pl.DataFrame({"series_id": [name] * rows, **columns})
    return table.with_columns(timestamp=at.cast(pl.Datetime("ms", "UTC"))).sample(fraction=1.0, shuffle=True, seed=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three series of two data sets, one without events, and a slice of minutes."""
    steady = [series("steady-1", 1500, 300, [700, 1100, 1400]), series("steady-2", 1500, 300, [])]
    pl.concat(steady).write_parquet(tmp_path / "steady.parquet")
    series("coarse-1", 900, 3600, [500, 800]).write_parquet(tmp_path / "coarse.parquet")
    series("slice-1", 120, 10, [90]).write_parquet(tmp_path / "slice.parquet")
    lines = [
        f"steady-1,steady.parquet,steady,1500,2,,300,{START + 300 * 900},3,2,0.03",
        f"steady-2,steady.parquet,steady,1500,2,,300,{START + 300 * 900},0,0,0",
        f"coarse-1,coarse.parquet,coarse,900,2,,3600,{START + 3600 * 600},2,1,0.03",
        f"slice-1,slice.parquet,slices,120,2,,10,{START + 10 * 60},1,1,0.1",
    ]
    (tmp_path / "series.csv").write_text("\n".join([INDEX, *lines]) + "\n")
    return tmp_path


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process: its exit code, and what it said where."""

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bcom-graphql", "evaluate", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return command


BASELINES = ("--detector", "isolation-forest", "--detector", "median-mad", "--jobs", 1)


def rows_of(table: str) -> list[list[str]]:
    """The cells of the lines that have figures, the times left out."""
    return [re.split(r" {2,}", line.strip())[:-1] for line in table.splitlines() if re.search(r"\.\d{3} ", line)]


# ---------------------------------------------------------------- the table


def test_the_table_has_a_row_for_each_detector(evaluate: Command, folder: Path) -> None:
    code, said, _ = evaluate(folder, *BASELINES)

    assert code == 0
    assert "VUS-PR" in said
    assert [row[0] for row in rows_of(said)] == ["Isolation Forest", "median/MAD"]


def test_by_data_set_each_has_rows_of_its_own_and_the_mean_comes_last(evaluate: Command, folder: Path) -> None:
    said = evaluate(folder, *BASELINES, "--by-dataset")[1]

    names = [row[0] for row in rows_of(said)][::2]
    assert names == ["coarse", "steady", "slices, under a day", "mean"]


def test_what_was_tested_for_less_than_a_day_stays_out_of_the_mean(evaluate: Command, folder: Path) -> None:
    with_slice = evaluate(folder, *BASELINES)[1]
    without = evaluate(folder, *BASELINES, "--dataset", "steady", "--dataset", "coarse")[1]

    assert rows_of(with_slice) == rows_of(without)
    assert "Not in it, for less than a day of each was tested: slices (1 series, 1 events)" in with_slice
    assert "Not in it" not in without


def test_where_there_is_nothing_longer_a_slice_counts(evaluate: Command, folder: Path) -> None:
    said = evaluate(folder, *BASELINES, "--dataset", "slices")[1]

    assert "The mean is over slices (1 series, 1 events)." in said
    assert len(rows_of(said)) == 2


def test_only_the_first_series_of_each_data_set(evaluate: Command, folder: Path) -> None:
    said = evaluate(folder, *BASELINES, "--max-series", 1)[1]

    assert "coarse (1 series, 1 events), steady (1 series, 2 events)" in said


def test_a_larger_budget_catches_no_less(evaluate: Command, folder: Path) -> None:
    small, large = (
        [float(row[3]) for row in rows_of(evaluate(folder, *BASELINES, "--budget", budget)[1])] for budget in (0.5, 20)
    )

    assert all(after >= before for before, after in zip(small, large, strict=True))
    assert large == [1.0, 1.0]


def test_our_own_detector_beats_chance(evaluate: Command, folder: Path) -> None:
    pytest.importorskip("ml.detection.series_detector")

    code, said, _ = evaluate(folder, "--detector", "ours", "--dataset", "steady", "--jobs", 1)

    assert code == 0
    assert float(rows_of(said)[0][1]) > 0.3


@pytest.mark.slow
def test_processes_find_what_one_finds_alone(evaluate: Command, folder: Path) -> None:
    alone = evaluate(folder, "--detector", "median-mad", "--jobs", 1)[1]

    together = run(folder, "evaluate", str(folder), "--detector", "median-mad", "--jobs", "2")

    assert together.returncode == 0, together.stderr
    assert rows_of(together.stdout) == rows_of(alone)


# ---------------------------------------------------------------- bad input


def without(file: str, column: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        if file.endswith(".csv"):
            pl.read_csv(folder / file).drop(column).write_csv(folder / file)
        else:
            pl.read_parquet(folder / file).drop(column).write_parquet(folder / file)

    return spoil


def replaced(old: str, new: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        index = folder / "series.csv"
        index.write_text(index.read_text().replace(old, new))

    return spoil


def written(file: str, content: bytes) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / file).write_bytes(content)

    return spoil


def removed(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def unlabelled(folder: Path) -> None:
    table = pl.read_parquet(folder / "steady.parquet")
    table.with_columns(is_anomaly=None).cast({"is_anomaly": pl.Int8}).write_parquet(folder / "steady.parquet")


def without_times(folder: Path) -> None:
    pl.read_parquet(folder / "steady.parquet").with_columns(timestamp=1).write_parquet(folder / "steady.parquet")


BROKEN = [
    (removed("series.csv"), "holds no series.csv"),
    (without("series.csv", "cadence_s"), "series.csv lacks the column cadence_s."),
    (written("series.csv", b""), "series.csv cannot be read"),
    (written("series.csv", INDEX.encode()), "series.csv lists no series."),
    (replaced(",300,", ",0,"), "series.csv is wrong about steady-1: n_metrics and train_end must be whole"),
    (replaced(",300,", ",often,"), "series.csv is wrong about steady-1"),
    (replaced("steady-1,steady.parquet", ",steady.parquet"), "a row without series_id, file or dataset"),
    (removed("steady.parquet"), "steady.parquet, which series.csv names, is missing."),
    (written("steady.parquet", b"nonsense"), "steady.parquet cannot be read as Parquet"),
    (without("steady.parquet", "is_anomaly"), "steady.parquet lacks the column is_anomaly."),
    (without("steady.parquet", "m01"), "steady.parquet has 1 columns of numbers named m00, m01, …; series.csv says 2."),
    (without_times, "steady.parquet has a timestamp column that holds no points in time."),
    (unlabelled, "steady.parquet has rows of steady-1 without timestamp or is_anomaly."),
    (replaced("steady-1,", "steady-9,"), "steady.parquet holds no rows of steady-9."),
    (replaced(str(START + 300 * 900), str(START)), "steady-1 needs 8 rows before its train_end and one after it"),
    (replaced(str(START + 300 * 900), str(2 * START)), "steady-1 needs 8 rows before its train_end and one after it"),
]


@pytest.mark.parametrize(("spoil", "said"), BROKEN, ids=[said for _, said in BROKEN])
def test_a_broken_folder_is_refused_in_a_sentence(
    evaluate: Command, folder: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(folder)

    code, table, error = evaluate(folder, "--detector", "median-mad", "--dataset", "steady", "--jobs", 1)

    assert (code, table) == (1, "")
    assert said in error
    assert "Traceback" not in error


def test_a_folder_that_is_not_there(evaluate: Command, tmp_path: Path) -> None:
    code, _, error = evaluate(tmp_path / "nowhere")

    assert code == 1
    assert error == f"There is no folder {tmp_path / 'nowhere'}.\n"


def test_a_data_set_that_is_not_there(evaluate: Command, folder: Path) -> None:
    code, _, error = evaluate(folder, "--dataset", "nowhere")

    assert code == 1
    assert error == "There is no data set nowhere here, only coarse, slices, steady.\n"


def test_a_budget_without_end_is_none(evaluate: Command, folder: Path) -> None:
    code, _, error = evaluate(folder, "--budget", "inf")

    assert (code, error) == (1, "The budget must be a finite number of false alarms a day.\n")


@pytest.mark.slow
def test_a_series_that_is_broken_ends_the_other_processes_too(folder: Path) -> None:
    replaced("steady-1,", "steady-9,")(folder)

    result = run(folder, "evaluate", str(folder), "--detector", "median-mad", "--jobs", "2")

    assert result.returncode == 1
    assert result.stderr.endswith("steady.parquet holds no rows of steady-9.\n")
    assert "Traceback" not in result.stderr


# ---------------------------------------------------------------- the protocol


def test_series_are_read_in_the_order_of_time_with_gaps_filled_by_what_was_before(tmp_path: Path) -> None:
    at = pl.Series([START + 30, START, START + 20, START + 10]) * 1_000_000
    table = pl.DataFrame({"series_id": ["a"] * 4, "m00": [4.0, np.nan, None, 2.0], "is_anomaly": [1, 0, 0, 0]})
    table.with_columns(timestamp=at.cast(pl.Datetime("us", "UTC"))).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "series.csv").write_text(f"{INDEX}\na,a.parquet,one,4,1,,10,{START},1,1,0.25\n")

    found = read_series(tmp_path, read_index(tmp_path)[0])

    assert found.at.tolist() == [START, START + 10, START + 20, START + 30]
    assert found.values[:, 0].tolist() == [0.0, 2.0, 2.0, 4.0]
    assert found.truth.tolist() == [False, False, False, True]


def test_seven_tenths_of_history_are_for_learning_and_labels_are_for_the_test_alone(folder: Path) -> None:
    parts = protocol.split_series(read_series(folder, read_index(folder)[0]))

    assert (len(parts.train), parts.calibration, len(parts.rest), len(parts.truth)) == (630, 270, 870, 600)
    assert parts.context["test_ts"][0] == START + 300 * 630
    assert not {"truth", "is_anomaly"} & set(parts.context)


def test_a_data_set_is_chosen_by_name_and_all_are_where_none_is(folder: Path) -> None:
    entries = read_index(folder)

    assert [one.name for one in select_series(entries, ["steady"], None)] == ["steady-1", "steady-2"]
    assert [one.name for one in select_series(entries, [], 1)] == ["coarse-1", "slice-1", "steady-1"]
    with pytest.raises(UnusableSeries, match="There is no data set other here"):
        select_series(entries, ["other"], None)


def test_scores_that_are_no_numbers_count_as_none_and_too_few_are_a_bug(folder: Path) -> None:
    whole = read_series(folder, read_index(folder)[0])
    parts = protocol.split_series(whole)
    scores = np.full(len(parts.rest), np.nan)

    silent = protocol.measure_series(whole, parts, scores, 1.0, 1.0)

    assert silent.auc_pr == pytest.approx(silent.anomaly_rate)
    with pytest.raises(ValueError, match="870 rows have scores of the shape"):
        protocol.measure_series(whole, parts, scores[1:], 1.0, 1.0)


@pytest.mark.parametrize("scorer", [reference_detectors.score_isolation_forest, reference_detectors.score_median_mad])
def test_figures_agree_with_the_judge(folder: Path, scorer: Scorer) -> None:
    if not JUDGE.exists():
        pytest.skip("the judge's file is not here")
    spec = importlib.util.spec_from_file_location("judge", JUDGE)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    judge: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(judge)

    expected = judge.summarise(judge.evaluate(scorer, folder))

    for group in protocol.group_by_dataset([measured_by(scorer, folder, place) for place in range(4)]):
        found, wanted = protocol.summarise(group.series), expected[group.dataset]
        for name, key in AGREEING.items():
            assert getattr(found, name) == pytest.approx(wanted[key], abs=1e-9, nan_ok=True), (group.dataset, name)


AGREEING = {
    "anomaly_rate": "base",
    "vus_pr": "vus_pr",
    "auc_pr": "auc_pr",
    "recall": "rec_b",
    "precision": "prec_b",
    "deployed_recall": "dep_rec",
    "false_alarms_per_day": "dep_fa_mean",
    "median_false_alarms_per_day": "dep_fa",
    "delay": "delay",
}


def measured_by(scorer: Scorer, folder: Path, place: int) -> SeriesResult:
    whole = read_series(folder, read_index(folder)[place])
    parts = protocol.split_series(whole)
    return protocol.measure_series(whole, parts, scorer(parts.train, parts.rest, parts.context), 1.0, 1.0)
