"""Metrics that many files have as names: a MODCOD as '8PSK 3/4', a beam as 'Beam 12'."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from ml.catalogue.metrics import Metric
from ml.catalogue.modcods import read_modcod
from resolvers.telemetry.values.parsed import Unusable

NO_MODCOD: Final = "must be a MODCOD of DVB-S2 or DVB-S2X, such as 14 or 8PSK 3/4"
NO_BEAM: Final = "must be the number of a beam, such as 12 or Beam 12"
BEAM: Final = re.compile(r"(?:spot[\s_-]*)?(?:beam|bm|b)?[\s_#-]*(?P<number>\d{1,9})", re.IGNORECASE | re.ASCII)


def read_modcod_label(text: str) -> float:
    """Reads a MODCOD's number from its name. Raises Unusable for those of other systems."""
    number = read_modcod(text)
    if number is None:
        raise Unusable(NO_MODCOD)
    return float(number)


def read_beam_label(text: str) -> float:
    """Reads a beam's number. Raises Unusable for one that has a name."""
    match = BEAM.fullmatch(text.strip())
    if match is None:
        raise Unusable(NO_BEAM)
    return float(match["number"])


READERS: Final[Mapping[str, Callable[[str], float]]] = {
    Metric.MODCOD.column: read_modcod_label,
    Metric.BEAM.column: read_beam_label,
}
