"""What reading a damaged artefact raises."""

import tokenize
import zipfile
from typing import Final

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
