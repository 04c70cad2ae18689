"""How fast CSV files are read and held against RFC 4180, as a ratio to polars, which trusts them, in the same run.

    python -m benchmarks.reading_files [--rows 500000]

Each file is read in a process of its own, first counted, then in pieces, as an import does; processor time counts, so
that a busy machine matters less. Polars alone reads the same blocks of 8 MiB, cut at line ends. The peak is the
process's, above what it takes to begin.
"""

import argparse
import gzip
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from resolvers.telemetry.files.tabular import open_table

BLOCK_BYTES = 8 << 20


def main() -> None:
    """Prints a line for each way to write the same table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        print(*measure(given.read[0], Path(given.read[1])))
        return
    print(f"{'':25} rows/s   of polars   peak MB (polars)")
    with tempfile.TemporaryDirectory() as folder:
        for name, path in write_files(Path(folder), given.rows):
            seconds, peak = measure_apart("table", path)
            trusting, least = measure_apart("polars", path) if path.suffix == ".csv" else (float("nan"), float("nan"))
            print(
                f"{name:20} {given.rows / seconds:8,.0f} {trusting / seconds:9.2f} {peak:8.0f} ({least:.0f})",
                flush=True,
            )


def measure_apart(reader: str, path: Path) -> tuple[float, float]:
    """Returns processor seconds, and the peak in MB."""
    command = [sys.executable, "-m", "benchmarks.reading_files", "--read", reader, str(path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env={"POLARS_MAX_THREADS": "1"}).stdout
    seconds, peak = map(float, said.split())
    return seconds, peak


def measure(reader: str, path: Path) -> tuple[float, float]:
    """Returns the same, of this process."""
    before, start = read_peak_mb(), time.process_time()
    (read_as_table if reader == "table" else read_with_polars)(path)
    return time.process_time() - start, read_peak_mb() - before


def read_peak_mb() -> float:
    """Returns the most memory that this process has had so far; what `getrusage` tells is its parent's, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def read_as_table(path: Path) -> int:
    """Returns how many rows there are."""
    with path.open("rb") as file:
        table = open_table(file)
        counted = table.count_rows()
        rows = sum(len(piece.rows) for piece in table.read_pieces([*table.schema]))
    assert counted == rows
    return rows


def read_with_polars(path: Path) -> int:
    """Returns the same."""
    counted = sum(int(frame.select(pl.len()).collect().item()) for frame in scan_blocks(path))
    rows = sum(len(frame.collect()) for frame in scan_blocks(path))
    assert counted == rows
    return rows


def scan_blocks(path: Path) -> Iterator[pl.LazyFrame]:
    """Yields blocks of whole lines."""
    with path.open("rb") as file:
        header, rest = file.readline(), b""
        while block := file.read(BLOCK_BYTES):
            text = rest + block
            end = text.rfind(b"\n") + 1
            yield pl.scan_csv(header + text[:end], infer_schema=False)
            rest = text[end:]


def write_files(folder: Path, rows: int) -> Iterator[tuple[str, Path]]:
    """Yields each way to write a table of thirteen columns."""
    chance = np.random.default_rng(1)
    at = (1_790_000_000_000 + 60_000 * pl.int_range(rows, eager=True)).cast(pl.Datetime("ms", "UTC"))
    metrics = {f"m{number}": chance.normal(10, 1, rows) for number in range(10)}
    frame = pl.DataFrame({"link": chance.integers(1, 500, rows), "at": at, **metrics}).with_columns(
        direction=pl.lit("OB")
    )
    path, form = folder / "table.csv", {"datetime_format": "%Y-%m-%dT%H:%M:%SZ", "float_precision": 2}
    frame.write_csv(path, **form)  # type: ignore[arg-type]
    yield "plain", path
    packed = folder / "table.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    yield "gzip", packed
    lines = path.read_bytes().split(b"\n")
    lines[len(lines) // 2] = lines[len(lines) // 2].replace(b",OB", b',1"OB')
    (folder / "odd.csv.txt").write_bytes(b"\n".join(lines))
    yield "a quote inside a cell", folder / "odd.csv.txt"
    frame.write_csv(path, quote_style="always", line_terminator="\r\n", **form)  # type: ignore[arg-type]
    yield "all quoted, CRLF", path


if __name__ == "__main__":
    main()
