"""What is damaged, and what is not: the system may lack something meanwhile."""

import errno
import os

import pytest

from ml.numerics.artefacts import name_damage


def test_a_damaged_artefact_is_told_as_one() -> None:
    with (
        pytest.raises(ValueError, match="not a detector's artefact, or a damaged one: nonsense"),
        name_damage("a detector"),
    ):
        raise OSError("nonsense")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOSPC])
def test_what_the_system_lacks_is_no_damage(number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)), name_damage("a detector"):
        raise OSError(number, os.strerror(number))
