"""What tests of incidents have in common."""

import pytest

from tests.helpers.support import Clock, clock_from_now


@pytest.fixture
def clock() -> Clock:
    """Samples count from NOW, and must not be of the past when a long run gets here."""
    return clock_from_now()
