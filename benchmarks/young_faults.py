"""How often root causes are right while a fault is young, on simulated incidents that no training uses.

Run `nice python -m benchmarks.young_faults [--each 12] [--steps 10 60 300] [--processes 2] [--json OUT]`. It takes some
minutes. Faults of every cause last 5 minutes to 3 hours; each is analysed as an incident's analysis would be, at ages
of 1 to 20 samples and of 20 s to 15 min since it costs a link 1 dB. The figures are simulated accuracy.

right: the first pattern names cause and culprit. cause, culprit: each alone. found: there is a pattern at all.
`settled` counts analyses from the third sample on.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.catalogue.models import ROOT_CAUSE
from ml.catalogue.root_causes import NAMED, RootCause
from ml.catalogue.units import HOUR_MS
from ml.numerics.arrays import Bools, Floats
from ml.numerics.scores import calibration_error
from ml.root_cause import young_incidents
from ml.root_cause.analysis import analyze
from ml.root_cause.model import RootCauseModel
from ml.root_cause.report import READ, Analysis, Request
from ml.root_cause.scenario import Scenario, simulate_samples
from ml.root_cause.truths import compute_truths
from ml.root_cause.young_incidents import draw_young_scenario, find_visible
from ml.simulation.faults import Fault, Variant
from ml.simulation.fleet import demo_fleet
from ml.simulation.fleet_topology import build_topology
from ml.simulation.simulator import simulate
from resolvers.models import shipped

SEED = 700_001
AGES_SAMPLES = (1, 2, 3, 5, 10, 20)
AGES_SECONDS = (20, 60, 120, 300, 900)
SETTLED_SAMPLES = 3
STORMY, OTHERS = 101, 8  # the network of which all links fall at once; links of each other network
REFERENCE_TIMES, REFERENCE_STEP_MS = 60, 2_700_000  # of the samples that streams learned their centres from


@dataclass(frozen=True)
class Row:
    """One analysis. runner_up: the true cause comes second. said, blamed: what the first pattern names."""

    seed: int
    cause: str
    step_seconds: int
    age_seconds: int
    samples: int
    two: bool
    found: bool
    cause_right: bool
    culprit_right: bool
    runner_up: bool
    confidence: float
    said: str
    blamed: str
    milliseconds: float

    @property
    def right(self) -> bool:
        return self.cause_right and self.culprit_right


def run_case(job: tuple[int, RootCause, int]) -> list[Row]:
    """Returns the rows of one incident, one for each age."""
    seed, cause, step_seconds = job
    scenario = draw_young_scenario(seed, cause, step_seconds)
    fault = scenario.faults[0]
    visible = find_visible(scenario, fault)
    if visible is None:
        return []
    model = load_model()
    topology, request = build_topology(scenario.fleet), _request(scenario)
    rows = []
    for age_ms in _ages_ms(scenario.step_ms, fault.end_ms - visible):
        until = visible + age_ms
        seen = replace(scenario, end_ms=until)
        affected = _scope(seen, topology.links)
        began = time.perf_counter()
        found = analyze(topology.scoped(affected), _until(request, until), model)
        took = 1000.0 * (time.perf_counter() - began)
        rows.append(_row(scenario, seed, cause, age_ms, found, took))
    return rows


def load_model() -> RootCauseModel:
    return RootCauseModel.from_bytes((Path(shipped.__file__).parent / ROOT_CAUSE / "model.npz").read_bytes(), "shipped")


def _ages_ms(step_ms: int, lasts_ms: int) -> Iterator[int]:
    ages = {step_ms * samples for samples in AGES_SAMPLES} | {
        1000 * one for one in AGES_SECONDS if 1000 * one >= step_ms
    }
    return (age for age in sorted(ages) if age <= lasts_ms)


def _request(scenario: Scenario) -> Request:
    at = scenario.start_ms - REFERENCE_STEP_MS * np.arange(REFERENCE_TIMES, 0, -1, dtype=np.int64)
    calm = simulate(scenario.fleet, at, (), scenario.seed, missing=0.0, kinds=(TargetKind.LINK,))[TargetKind.LINK]
    columns = [CATALOGUE[TargetKind.LINK].metrics.index(metric) for metric in READ]
    readings = calm.readings[:, columns].reshape(len(at), -1, len(READ))
    return Request(simulate_samples(scenario), scenario.start_ms, scenario.end_ms, np.median(readings, axis=0))


def _until(request: Request, until: int) -> Request:
    return replace(request, frame=request.frame.filter(pl.col("at") < until), end_ms=until, alarmed=True)


def _scope(scenario: Scenario, links: Floats) -> Bools:
    """Returns the links that the first fault has degraded notably so far."""
    scope: Bools = np.isin(links, list(compute_truths(scenario)[0].links))
    return scope


def _row(scenario: Scenario, seed: int, cause: RootCause, age_ms: int, found: Analysis, took: float) -> Row:
    truth = compute_truths(replace(scenario, faults=scenario.faults[:1]))[0]
    first = found.patterns[0] if found.patterns else None
    culprit = first.culprit if first else None
    second = first.hypotheses[1:3] if first else ()
    return Row(
        seed,
        cause.value,
        scenario.step_ms // 1000,
        age_ms // 1000,
        age_ms // scenario.step_ms,
        len(scenario.faults) > 1,
        first is not None,
        first is not None and first.cause is cause,
        culprit is not None and (culprit.kind, culprit.key) == truth.culprit,
        any(one.cause is cause for one in second),
        first.confidence if first else 0.0,
        first.cause.value if first else "none",
        f"{culprit.kind}" if culprit else "",
        took,
    )


def run_healthy(job: tuple[int, int]) -> tuple[int, list[str]]:
    """Returns the cadence, and what is found in a window without any fault."""
    seed, step_seconds = job
    scenario = draw_young_scenario(seed, RootCause.POWER_OUTAGE, step_seconds)
    calm = replace(scenario, faults=(), end_ms=scenario.faults[0].start_ms + 20 * scenario.step_ms)
    found = analyze(build_topology(calm.fleet), _request(calm), load_model())
    return step_seconds, [f"{one.cause} {one.confidence:.2f}" for one in found.patterns]


# ---------------------------------------------------------------- storms


def print_storms(links: int) -> None:
    """Prints what is found when all links of one network fall by 5 dB in one batch, or fall silent together."""
    fleet = demo_fleet(remotes=6 * links)
    kept = tuple(link for n, link in enumerate(fleet.links) if link.network == STORMY or n < 6 * OTHERS)
    fleet = replace(fleet, links=kept)
    for name, cause, variant, batches in (
        ("5 dB in one batch", RootCause.EQUIPMENT_FAILURE, Variant.TRANSMITTER, 1),
        ("5 dB for a minute", RootCause.EQUIPMENT_FAILURE, Variant.TRANSMITTER, 6),
        ("silent for a minute", RootCause.POWER_OUTAGE, Variant.SILENCE, 6),
        ("silent for five minutes", RootCause.POWER_OUTAGE, Variant.SILENCE, 30),
    ):
        began = young_incidents.START_MS + HOUR_MS
        culprit = {"network": STORMY}
        fault = Fault(cause, began, began + HOUR_MS, 0.5, variant=variant, **culprit)
        scenario = Scenario(fleet, began - 900_000, began + batches * 10_000, 10_000, (fault,), 1, 1.0)
        topology, request = build_topology(fleet), _request(scenario)
        scope = np.isin(topology.networks.keys[topology.network], [STORMY])
        start = time.perf_counter()
        found = analyze(topology.scoped(scope), request, load_model())
        took = time.perf_counter() - start
        first = found.patterns[0] if found.patterns else None
        said = f"{first.description} ({first.cause}, {first.confidence:.2f})" if first else "nothing"
        print(f"{int(scope.sum())} links, {name}: {took:.1f} s: {said} {len(found.patterns)} patterns", flush=True)


# ---------------------------------------------------------------- printing


def print_report(rows: list[Row]) -> None:
    for step in sorted({row.step_seconds for row in rows}):
        some = [row for row in rows if row.step_seconds == step]
        ages = sorted({row.age_seconds for row in some})
        print(f"\nsamples every {step} s: right by age\n{'':24s}" + "".join(f"{_age(age):>7s}" for age in ages))
        for cause in [*NAMED, None]:
            own = [row for row in some if cause in (None, row.cause)]
            cells = (_share(row.right for row in own if row.age_seconds == age) for age in ages)
            print(f"{cause or 'all':24s}" + "".join(f"{cell:>7s}" for cell in cells))
        by_age = [[row for row in some if row.age_seconds == age] for age in ages]
        print(f"{'found':24s}" + "".join(f"{_share(row.found for row in own):>7s}" for own in by_age))
        print(f"{'cause':24s}" + "".join(f"{_share(row.cause_right for row in own):>7s}" for own in by_age))
        print(f"{'culprit':24s}" + "".join(f"{_share(row.culprit_right for row in own):>7s}" for own in by_age))
        print(f"{'calibration error':24s}" + "".join(f"{_calibration(own):>7.3f}" for own in by_age))
    settled = [row for row in rows if row.samples >= SETTLED_SAMPLES]
    print(f"\nfrom the third sample on, {len(settled)} analyses:")
    for cause in NAMED:
        own = [row for row in settled if row.cause == cause]
        said = defaultdict(int)
        for row in own:
            said[row.said if not row.cause_right else f"{row.said}/{row.blamed}"] += not row.right
        wrong = {name: count for name, count in sorted(said.items(), key=lambda one: -one[1]) if count}
        print(f"{cause:24s} right {_share(row.right for row in own)} n={len(own)} wrong: {wrong}")
    two = [row for row in settled if row.two]
    print(f"settled right {_share(row.right for row in settled)}  cause {_share(row.cause_right for row in settled)}")
    print(f"culprit {_share(row.culprit_right for row in settled)}  with two at once {_share(r.right for r in two)}")
    print(f"cause or runner-up {_share(row.cause_right or row.runner_up for row in settled)}")
    print(f"calibration error {_calibration(settled):.3f} (all ages {_calibration(rows):.3f})")
    took = np.array([row.milliseconds for row in rows])
    print(f"milliseconds median {np.median(took):.0f}, p95 {np.quantile(took, 0.95):.0f}", flush=True)


def _age(seconds: int) -> str:
    return f"{seconds}s" if seconds < 60 else f"{seconds / 60:g}m"


def _share(right: Iterable[bool]) -> str:
    values = list(right)
    return f"{np.mean(values):.2f}" if values else "-"


def _calibration(rows: list[Row]) -> float:
    some = [row for row in rows if row.found and row.said != RootCause.UNKNOWN]
    if not some:
        return float("nan")
    return calibration_error(np.array([row.confidence for row in some]), np.array([row.cause_right for row in some]))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--each", type=int, default=12, help="incidents of each cause and cadence")
    options.add_argument("--steps", type=int, nargs="+", default=[10, 60, 300], help="seconds between samples")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--seed", type=int, default=SEED)
    options.add_argument("--healthy", type=int, default=30, help="windows without a fault of each cadence")
    options.add_argument("--storm", type=int, default=3000, help="links that fall at once; 0 for none")
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    jobs = [(asked.seed + n, cause, step) for step in asked.steps for n in range(asked.each) for cause in NAMED]
    with ProcessPoolExecutor(asked.processes) as pool:
        rows = [row for some in pool.map(run_case, jobs, chunksize=5) for row in some]
        calm = list(
            pool.map(run_healthy, [(asked.seed + n, step) for step in asked.steps for n in range(asked.healthy)])
        )
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows]))
    if rows:
        print_report(rows)
    for step in asked.steps if calm else ():
        false = [found for at, found in calm if at == step]
        print(f"healthy windows, samples every {step} s: {_share(map(bool, false))} with a pattern", *false)
    if asked.storm:
        print_storms(asked.storm)


if __name__ == "__main__":
    main()
