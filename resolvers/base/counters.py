"""Prometheus metrics below the API: declared here, counted where it happens.

`multiprocess_mode` says how the gauges of several server processes become one.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from ml.catalogue.metrics import TargetKind

SAMPLES_TOPIC: Final = "samples"  # no topic of events, but counted like one

# ---------------------------------------------------------------- ingest

_SAMPLES = Counter(
    "bcom_samples_total", "Rows that were sent to be recorded, by what became of them.", ["kind", "result"]
)
_SCORING = Histogram(
    "bcom_scoring_duration_seconds",
    "Time in which a recorded batch was judged.",
    ["kind"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
RESULTS: Final = ("accepted", "duplicate", "rejected")
SAMPLES: Final = {kind: [_SAMPLES.labels(kind.lower(), result) for result in RESULTS] for kind in TargetKind}
SCORING: Final = {kind: _SCORING.labels(kind.lower()) for kind in TargetKind}
LATE_SAMPLES = Counter(
    "bcom_late_samples_total",
    "Samples older than their stream's newest, with the stored ones behind them, by whether they were judged again.",
    ["kind", "result"],
)
MODELS_LOADED = Gauge("bcom_models_loaded", "Model versions in memory.", multiprocess_mode="livesum")


def count_recorded(kind: TargetKind, *rows: int) -> None:
    """Counts the rows of a batch, in the order of RESULTS."""
    for counter, number in zip(SAMPLES[kind], rows, strict=True):
        counter.inc(number)


_DETAILS = Counter(
    "bcom_samples_changed_total",
    "Duplicates that changed a sample or differ from it, and values that were left out.",
    ["kind", "result"],
)
DETAILS: Final = ("merged", "conflicting", "replaced", "left_out")
SAMPLE_DETAILS: Final = {kind: [_DETAILS.labels(kind.lower(), result) for result in DETAILS] for kind in TargetKind}


def count_details(kind: TargetKind, *counts: int) -> None:
    """Counts what became of a batch's duplicates and values, in the order of DETAILS."""
    for counter, number in zip(SAMPLE_DETAILS[kind], counts, strict=True):
        counter.inc(number)


# ---------------------------------------------------------------- live

EVENTS_READ = Counter("bcom_events_read_total", "Events that server processes read of the log.", ["topic"])
FOLLOWERS = Gauge(
    "bcom_followers", "Who hears of a topic: subscribers, and the server's own.", ["topic"], multiprocess_mode="livesum"
)
LAGGED = Counter("bcom_followers_lagged_total", "Followers that were dropped because they fell behind.", ["topic"])
FOLLOWER_LAG = Gauge(
    "bcom_follower_lag_events",
    "Events that the slowest follower was handed and is not done with.",
    multiprocess_mode="livemax",
)
FEED_LAG = Gauge(
    "bcom_feed_lag_events",
    "Committed events that the slowest server process has not read.",
    multiprocess_mode="livemax",
)
FEED_LAG_SECONDS = Gauge(
    "bcom_feed_lag_seconds",
    "Age of the oldest committed event that the slowest server process has not read.",
    multiprocess_mode="livemax",
)

# ---------------------------------------------------------------- database

POOL_SIZE = Gauge("bcom_database_pool_size", "Database connections allowed.", multiprocess_mode="livesum")
POOL_OPEN = Gauge("bcom_database_connections_open", "Database connections open.", multiprocess_mode="livesum")
POOL_USED = Gauge("bcom_database_connections_used", "Database connections in use.", multiprocess_mode="livesum")
POOL_EXHAUSTED = Counter("bcom_database_pool_timeouts_total", "Failures because no database connection became free.")
RETENTION_PAUSED = Counter(
    "bcom_retention_paused_total", "Times that nothing was dropped after its retention, as the time may be wrong."
)
