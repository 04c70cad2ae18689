"""Artefacts: named arrays as `.npz` bytes, without pickle, and what reading damaged ones raises."""

import errno
import io
import tokenize
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SHORTAGES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EIO)
# What numpy and zipfile raise for damaged bytes: for an encrypted part RuntimeError, for an unknown compression
# NotImplementedError, for a header that is no Python SyntaxError or TokenError.
DAMAGED: Final = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    MemoryError,
    OverflowError,
)


def write_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Returns an `.npz` file without pickle; the same arrays in the same order give the same bytes."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read_arrays(artefact: bytes) -> dict[str, NDArray[Any]]:
    """Returns the arrays of an `.npz` file. Raises one of `DAMAGED` if it is none; see `name_damage`."""
    with np.load(io.BytesIO(artefact), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@contextmanager
def name_damage(what: str) -> Iterator[None]:
    """Turns whatever damaged bytes raise into a ValueError that names what they should be; OSError of a shortage stays.

    what: the expected model, with its article, for example "a root-cause model".
    """
    try:
        yield
    except DAMAGED as error:
        if is_shortage(error):
            raise
        raise ValueError(f"not {what}'s artefact, or a damaged one: {error}") from error


def is_shortage(error: BaseException) -> bool:
    """Returns whether the system lacks files, memory or disk, so that the bytes may be sound."""
    return isinstance(error, OSError) and error.errno in SHORTAGES
