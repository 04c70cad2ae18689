"""What reading a damaged artefact raises."""

import errno
import tokenize
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SHORTAGES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EIO)
# numpy and zipfile say of nonsense whatever comes: an encrypted part (RuntimeError), an unknown compression
# (NotImplementedError), a header that is no Python (SyntaxError, TokenError).
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


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Raises ValueError for what is damaged, or is not `what`; OSError where the system lacks something."""
    try:
        yield
    except DAMAGED as error:
        if is_shortage(error):
            raise
        raise ValueError(f"not {what}'s artefact, or a damaged one: {error}") from error


def is_shortage(error: BaseException) -> bool:
    """Whether the system lacks files, memory or disk, and what is read may be sound."""
    return isinstance(error, OSError) and error.errno in SHORTAGES
