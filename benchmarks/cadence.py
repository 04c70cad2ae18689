"""False alarms at every cadence, as a ratio to the budget, and how many injected faults are found and how soon.

    python -m benchmarks.cadence                                  (some minutes)
    python -m benchmarks.cadence --kind LINK --cadence 10 300     (some of it)

Healthy targets are simulated, and links also invented with noise that is correlated over ten minutes: at fast cadences
the simulator's is white. A target is judged as the server does: from its first sample on by the prior and by what it
has learned so far ("first days"), later by a profile of its own ("learned"). At 1.0, as many false alarms are raised
as the sensitivity allows. The microwave links are real, of another operator, with their rain (skipped when absent).
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from ml.artefacts import load
from ml.catalogue.metrics import CATALOGUE, TargetKind
from ml.catalogue.models import DETECTORS
from ml.catalogue.units import DAY_MS
from ml.detection.baselines import MIN_SAMPLES, Baselines, fill_from_catalogue, fit_baselines
from ml.detection.detector import STREAMS_PER_TARGET, Detector, Scores, false_alarms_per_day
from ml.detection.episodes import Episode, EpisodeState, track_episodes
from ml.detection.fault_injection import inject_faults
from ml.detection.features import Memory, StreamSamples, compute_features
from ml.detection.profile_fitting import fit_profiles
from ml.detection.profiles import Profiles
from ml.numerics.arrays import Bools, Floats, Integers
from ml.simulation.fleet import demo_fleet
from ml.simulation.simulator import simulate
from resolvers.models.shipped.versions import FOLDER

CADENCES = (10, 30, 60, 300, 900, 3600, 7200)  # seconds
REAL = Path(__file__).parents[2] / "shared" / "data" / "open" / "rf_unlabelled.parquet"  # not everywhere
START_MS = 1_767_225_600_000
YOUNG_SAMPLES, YOUNG_SECONDS = 500, 500 * 300  # until then a stream has no profile of its own
SENSITIVITIES = (0.5, 1.0)
FAULT_MINUTES = (10, 180)
FAULTS_PER_DAY = 2.0
FAULT_SIZES = (2.0, 8.0)  # robust standard deviations: the least are hard to see
AT_ONCE = 2000  # times simulated


@dataclass(frozen=True)
class Measured:
    """Alarms, events and what was found of them; delays in seconds."""

    days: float
    alarms: int
    events: int = 0
    found: int = 0
    delays: tuple[float, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=[*TargetKind, "COLOURED", "REAL"], nargs="+")
    parser.add_argument("--cadence", type=int, nargs="+", default=CADENCES)
    parser.add_argument("--days", type=float, default=2.0, help="tested at the fastest cadences")
    parser.add_argument("--remotes", type=int, default=20)
    parser.add_argument("--models", type=Path, default=FOLDER)
    options = parser.parse_args()
    print("| Targets | Cadence | When | False alarms / budget at 0.5 | at 1.0 | Faults found | Median delay |")
    print("|---|---|---|---|---|---|---|")
    for name in options.kind or [*TargetKind, "COLOURED", "REAL"]:
        kind = TargetKind(name) if name in list(TargetKind) else TargetKind.LINK
        model = next(model for model, one in DETECTORS.items() if one is kind)
        detector = load(model, (options.models / model / "model.npz").read_bytes(), "1")
        assert isinstance(detector, Detector)
        for cadence in options.cadence:
            for what, samples in healthy(name, cadence, options.days, options.remotes):
                tell(name.lower(), cadence, what, detector, samples)


def history_days(cadence: int) -> float:
    """Long enough for a profile: 4 days of fast samples, more of slow ones."""
    return max(3.0 if cadence < 60 else 6.0, 1.2 * YOUNG_SAMPLES * cadence / 86_400)


def healthy(name: str, cadence: int, days: float, remotes: int) -> Iterator[tuple[str, StreamSamples]]:
    span = history_days(cadence) + max(days, 40.0 * cadence / 3600)
    times = START_MS + 1000 * cadence * np.arange(int(span * 86_400 / cadence))
    if name == "COLOURED":
        yield "", simulate_coloured(times, remotes)
    elif name == "REAL":
        yield from real(cadence)
    else:
        kind = TargetKind(name)
        fleets = 4 if kind is TargetKind.NETWORK else 1
        yield "", join_samples([simulate_samples(kind, times, remotes, seed) for seed in range(31, 31 + fleets)])


def simulate_samples(kind: TargetKind, times: Integers, remotes: int, seed: int) -> StreamSamples:
    fleet, parts = demo_fleet(seed, remotes), []
    for part in np.array_split(times, 1 + len(times) // AT_ONCE):
        samples = simulate(fleet, part, [], seed, kinds=(kind,))[kind]
        outbound = samples.direction == "OB" if samples.direction is not None else np.zeros(len(samples.at), bool)
        parts.append((samples.readings, samples.at, 2 * samples.number + outbound))
    values, at, key = (np.concatenate(column) for column in zip(*parts, strict=True))
    stream = np.unique(key, return_inverse=True)[1].astype(np.int64)
    order = np.lexsort((at, stream))
    return StreamSamples(values[order], at[order], stream[order], int(stream.max()) + 1)


def simulate_coloured(times: Integers, remotes: int) -> StreamSamples:
    """Links whose noise is half white and half correlated over ten minutes, with a wave over the day."""
    kind, rng = CATALOGUE[TargetKind.LINK], np.random.default_rng(41)
    metrics, streams = len(kind.specs), 2 * remotes
    step = float(times[1] - times[0]) / 1000.0
    keep = np.exp(-step / 600.0)
    slow, values = rng.normal(size=(streams, metrics)), np.empty((streams, len(times), metrics))
    for row in range(len(times)):
        slow = keep * slow + np.sqrt(1.0 - keep**2) * rng.normal(size=slow.shape)
        values[:, row] = slow + rng.normal(size=slow.shape)
    wave = np.sin(2.0 * np.pi * times / DAY_MS)[:, None] * np.isin(np.arange(metrics), (0, 1))
    values = kind.usual + kind.least_spread * (values + 3.0 * wave)
    low, high = (np.array([getattr(spec, name) for spec in kind.specs]) for name in ("low", "high"))
    flat = np.clip(values, low, high).reshape(-1, metrics)
    return StreamSamples(flat, np.tile(times, streams), np.repeat(np.arange(streams), len(times)), streams)


def real(cadence: int) -> Iterator[tuple[str, StreamSamples]]:
    """Every so many of the real links' samples, one a minute."""
    if not REAL.exists() or cadence < 60:
        return
    kind = CATALOGUE[TargetKind.LINK]
    frame = pl.read_parquet(REAL).sort("series_id", "timestamp").with_columns(series=pl.col("series_id").rle_id())
    stream = frame["series"].to_numpy().astype(np.int64)
    values = np.full((len(frame), len(kind.specs)), np.nan)
    for column, name in (("tx_power_dbm", "tx_dbm"), ("rx_level_dbm", "rx_dbm")):
        values[:, kind.columns.index(column)] = frame[name].to_numpy()
    at = frame["timestamp"].dt.epoch("ms").to_numpy()
    kept = np.zeros(len(at), dtype=bool)
    whole = StreamSamples(values, at, stream, int(stream.max()) + 1)
    for rows in whole.slices:
        kept[rows.start : rows.stop : max(1, cadence // 60)] = True
    yield " with rain", whole.where(kept)


def join_samples(parts: list[StreamSamples]) -> StreamSamples:
    first = np.cumsum([0, *(part.streams for part in parts)])
    return StreamSamples(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.at for part in parts]),
        np.concatenate([part.stream + offset for part, offset in zip(parts, first, strict=False)]),
        int(first[-1]),
    )


# ---------------------------------------------------------------- how the server judges them


def tell(name: str, cadence: int, what: str, detector: Detector, samples: StreamSamples) -> None:
    begin = int(samples.at.min())
    grown = begin + int(DAY_MS * history_days(cadence))
    if grown >= samples.at.max():
        grown = begin + int(0.6 * (samples.at.max() - begin))
    past, ahead = samples.where(samples.at < grown), samples.where(samples.at >= grown)
    young_until = begin + 1000 * max(YOUNG_SAMPLES * cadence, YOUNG_SECONDS)
    young = samples.where(samples.at < young_until)
    spoilt, faulty = with_faults(ahead, detector, cadence)
    early = [count(detector, young, judge_young(detector, young, s)) for s in SENSITIVITIES]
    ratios = " | ".join(ratio(detector, one, s) for one, s in zip(early, SENSITIVITIES, strict=True))
    print(f"| {name}{what} | {cadence} s | first days | {ratios} | – | – |", flush=True)
    if len(past.at) < YOUNG_SAMPLES * past.streams:
        return
    profiles = fit_profiles(past, detector.scales, detector.forest)
    memory = compute_features(Memory.blank(past.streams, past.values.shape[1]), past, profiles.smoothing_scales)[1]
    later = [count(detector, ahead, detector.score(ahead, profiles, memory, s)) for s in SENSITIVITIES]
    caught = count(detector, spoilt, detector.score(spoilt, profiles, memory, 0.5), faulty)
    ratios = " | ".join(ratio(detector, one, s) for one, s in zip(later, SENSITIVITIES, strict=True))
    delay = f"{np.median(caught.delays) if caught.delays else np.nan:.0f} s"
    print(f"| | {cadence} s | learned | {ratios} | {caught.found / max(1, caught.events):.2f} | {delay} |", flush=True)


def ratio(detector: Detector, measured: Measured, sensitivity: float) -> str:
    allowed = measured.days / STREAMS_PER_TARGET[detector.kind] * false_alarms_per_day(sensitivity)
    return f"{measured.alarms / allowed:.2f} ({measured.alarms})"


def judge_young(detector: Detector, samples: StreamSamples, sensitivity: float) -> Scores:
    """As the server does: baselines are fitted again each time that the history has doubled, and count from then on."""
    kind, metrics, parts = CATALOGUE[detector.kind], samples.values.shape[1], []
    age = np.concatenate([np.arange(rows.stop - rows.start) for rows in samples.slices])
    memory, first = Memory.blank(samples.streams, metrics), 0
    while first <= age.max():
        end = max(MIN_SAMPLES, 2 * first)
        now, past = samples.where((age >= first) & (age < end)), samples.where(age < first)
        base = fit_baselines(kind, past.values, past.stream, past.streams)
        profiles = prior_profiles(detector, base, past)
        scores = detector.score(now, profiles, memory, sensitivity)
        parts.append((scores, np.flatnonzero((age >= first) & (age < end))))
        memory, first = scores.memory, end
    order = np.argsort(np.concatenate([rows for _, rows in parts]))
    names = ("score", "pace", "spacing")
    arrays = {name: np.concatenate([getattr(scores, name) for scores, _ in parts])[order] for name in names}
    return replace(parts[-1][0], **arrays)


def prior_profiles(detector: Detector, base: Baselines, past: StreamSamples) -> Profiles:
    centre, spread = fill_from_catalogue(CATALOGUE[detector.kind], base.centre, base.spread)
    seconds = [np.ptp(past.at[rows]) / 1000.0 if rows.stop > rows.start else 0.0 for rows in past.slices]
    return detector.make_prior_profiles(centre, spread, base.samples, np.array(seconds))


def with_faults(samples: StreamSamples, detector: Detector, cadence: int) -> tuple[StreamSamples, Bools]:
    """Injects faults of 10 minutes to 3 hours, at least three samples; the same number a day at each cadence."""
    rng, values = np.random.default_rng(51), samples.values.copy()
    faulty = np.zeros(len(values), dtype=bool)
    low, high = (max(3 + extra, minutes * 60 // cadence) for extra, minutes in zip((0, 9), FAULT_MINUTES, strict=True))
    rows_per_fault = max(2 * high, int(86_400 / cadence / FAULTS_PER_DAY))
    for rows in samples.slices:
        values[rows], faulty[rows] = inject_faults(
            values[rows], detector.scales, rng, rows_per_fault=rows_per_fault, lengths=(low, high), sizes=FAULT_SIZES
        )
    return replace(samples, values=values), faulty


def count(detector: Detector, samples: StreamSamples, scores: Scores, faulty: Bools | None = None) -> Measured:
    found = events = alarms = 0
    days, delays = 0.0, list[float]()
    for rows in samples.slices:
        at = samples.at[rows]
        if not len(at):
            continue
        days += float(at[-1] - at[0]) / DAY_MS
        episodes = follow(at, scores, rows)
        alarms += len(episodes)
        if faulty is None:
            continue
        edges = np.flatnonzero(np.diff(faulty[rows].astype(np.int8), prepend=0, append=0))
        for first, last in edges.reshape(-1, 2).tolist():
            events += 1
            told = find_opening(at, scores.score[rows], scores.pace[rows], episodes, int(at[first]), int(at[last - 1]))
            if told is not None:
                found += 1
                delays.append((told - int(at[first])) / 1000.0)
    return Measured(days, alarms, events, found, tuple(delays))


def follow(at: Integers, scores: Scores, rows: slice) -> list[Episode]:
    return track_episodes(EpisodeState(), at, scores.score[rows], scores.spacing[rows])[1]


def find_opening(
    at: Integers, score: Floats, pace: Floats, episodes: list[Episode], first: int, last: int
) -> int | None:
    """Returns when the first episode that overlaps an event was opened, epoch ms."""
    for episode in episodes:
        if episode.started_at <= last and (episode.last_seen_at or episode.started_at) >= first:
            begin = int(np.searchsorted(at, episode.started_at))
            for end in range(begin + 1, len(at) + 1):
                if track_episodes(EpisodeState(), at[begin:end], score[begin:end], pace[begin:end])[1]:
                    return max(first, int(at[end - 1]))
    return None


if __name__ == "__main__":
    main()
