"""Five million rows, recorded for real by the real command: memory does not grow with a file.

Nothing smaller would do: what is kept for each batch, by us, by polars or by the allocator, shows only after a hundred
of them. The Parquet file, as unkind as they come, has the CSV file's samples again: that reads all of it, and spares
scoring them twice.
"""

import asyncio
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pytest

from ml.catalogue.metrics import CATALOGUE, TargetKind
from tests.helpers.processes import COMMAND, environment
from tests.helpers.support import NOW, Factory, ms
from tests.system.test_cli import numbers

STATUS = "/proc/{}/status"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(STATUS.format("self")).exists(), reason="only Linux tells of a process's peak"),
]

ROWS, LINKS = 5_000_000, 500
MINUTES = ROWS // LINKS // 2
LIMIT_MB = 700


@dataclass(frozen=True)
class Imported:
    counts: list[int]  # rows, accepted, duplicates, rejected, anomalies touched
    peak_mb: int


def telemetry() -> pl.DataFrame:
    """Of all links, both ways, every minute. Twice in that time, each link's receiver is deaf for ten minutes."""
    chance = np.random.default_rng(7)
    row = pl.int_range(ROWS, eager=True)
    minute, link = row // (2 * LINKS), row % LINKS + 1
    deaf = (minute + 5 * link) % (MINUTES // 2) < 10
    metrics = {
        spec.column: (spec.usual + spec.usual_spread * chance.normal(0, 0.2, ROWS))
        .clip(spec.low, spec.high)
        .round(0 if spec.whole else 6)
        for spec in CATALOGUE[TargetKind.LINK].specs
    }
    at = (ms(NOW) + 60_000 * (minute - MINUTES)).cast(pl.Datetime("ms", "UTC"))
    direction = pl.when(row % (2 * LINKS) < LINKS).then(pl.lit("OB")).otherwise(pl.lit("IB"))
    frame = pl.DataFrame({"link": link, "at": at, "deaf": deaf, **metrics}).with_columns(direction=direction)
    return frame.with_columns(pl.col("rx_level_dbm") - 20 * pl.col("deaf")).drop("deaf")


def written(folder: Path) -> tuple[Path, Path]:
    """As CSV, and as Parquet of one row group of numbers that do not compress."""
    frame, csv, parquet = telemetry(), folder / "links.csv", folder / "links.parquet"
    frame.write_csv(csv, datetime_format="%Y-%m-%dT%H:%M:%SZ", float_precision=2)
    frame.write_parquet(parquet, row_group_size=ROWS)
    return csv, parquet


def imported(file: Path, url: str) -> Imported:
    command = [*COMMAND, "import", "--kind", "link", str(file)]
    log, peak_mb = file.with_suffix(".log"), 0
    with (
        log.open("w") as said,
        subprocess.Popen(command, env=environment(file.parent, DATABASE_URL=url), stderr=said) as process,
    ):
        while process.poll() is None:
            readers = psutil.Process(process.pid).children()
            peak_mb = max(peak_mb, peak_of(process.pid) + sum(peak_of(reader.pid) for reader in readers))
            time.sleep(0.1)
    file.unlink()  # half a gigabyte that pytest would keep
    assert process.returncode == 0, log.read_text()
    return Imported(numbers(log.read_text()), peak_mb)


def peak_of(pid: int) -> int:
    """The most megabytes of memory that a process has had so far; 0 when it is over."""
    try:
        lines = Path(STATUS.format(pid)).read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:")), 0)


async def test_five_million_rows_are_imported_in_less_than_700_mb(
    tmp_path: Path, database_url: str, make: Factory
) -> None:
    network, site = await make.network(), await make.site()
    for number in range(1, LINKS + 1):
        await make.link(number, network=network, site=site)
    csv, parquet = await asyncio.to_thread(written, tmp_path)

    first = await asyncio.to_thread(imported, csv, database_url)
    again = await asyncio.to_thread(imported, parquet, database_url)

    assert first.counts[:4] == [ROWS, ROWS, 0, 0]
    assert first.counts[4] >= LINKS // 2  # of the newest; what was only mild and long ago is learned from
    assert again.counts == [ROWS, 0, ROWS, 0, 0]
    assert 0 < first.peak_mb < LIMIT_MB
    assert 0 < again.peak_mb < LIMIT_MB
