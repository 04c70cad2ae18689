"""Where things are."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"  # data and tools that only some machines have; tests that want them skip elsewhere
FOLDER = ROOT / ".bcom" / "test"  # what tests keep for the next run
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 8 << 30  # that suffice for PostgreSQL's files


def postgres_folder() -> Path:
    """In memory, where there is plenty.

    Each test has a database of its own, of 500 files; a disk takes 200 ms to make and remove them, memory 30 ms.
    """
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).total >= MEMORY_BYTES:
        return MEMORY / f"bcom-tests{str(ROOT).replace('/', '-')}"
    return FOLDER
