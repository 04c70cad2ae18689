"""What modems call their modulation and coding, and what the standards say of it."""

import numpy as np
import pytest

from ml.catalogue.modcods import MODCODS, find_best_modcod, find_modcod, read_modcod


def test_numbers_and_names_are_each_there_once() -> None:
    assert len({modcod.number for modcod in MODCODS}) == len({modcod.name for modcod in MODCODS}) == len(MODCODS) == 66
    assert all(read_modcod(modcod.name) == modcod.number for modcod in MODCODS)


def test_what_carries_more_needs_more_within_a_modulation() -> None:
    for modulation in ("QPSK", "8PSK", "16APSK", "32APSK"):
        rows = [modcod for modcod in MODCODS[:28] if modcod.name.startswith(f"{modulation} ")]
        assert [one.threshold_db for one in rows] == sorted(one.threshold_db for one in rows)
        assert [one.bits_per_symbol for one in rows] == sorted(one.bits_per_symbol for one in rows)


def test_none_carries_more_than_shannon_allows() -> None:
    assert all(one.bits_per_symbol < np.log2(1 + 10 ** (one.threshold_db / 10)) for one in MODCODS)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("8PSK 3/4", 14),
        ("8psk-3/4", 14),  # ids of a link planner
        ("8PSK34", 14),  # a GX1132 tuner's names
        ("e8psk34", 14),  # NEWTEC-MULTI-DEMOD-MIB
        ("e16apsk910", 23),
        ("QPSK_1/4", 1),  # OpenSatCom
        ("QPSK-S_3/5", 5),  # aff3ct's short frames, which have the same MODCOD
        ("QPSK-N_8/9", 10),
        ("DVB-S2 32APSK 9/10", 28),
        ("DVB-S2X 16APSK 26/45", 154),
        ("8PSK 26/45-L", 140),  # Wireshark names 8APSK so
        ("256APSK 31/45-L", 208),
        (" 16APSK 2/3 ", 18),
        ("16APSK 2/3-L", 164),
        ("8PSK 3/4 Short Pilots", 14),
    ],
)
def test_names_are_read_as_modems_write_them(text: str, number: int) -> None:
    assert read_modcod(text) == number


@pytest.mark.parametrize("text", ["", "ACM", "CCM", "8PSK", "3/4", "L-8PSK-3/4", "QPSK 0.533", "BPSK 1/2", "QPSK 7/10"])
def test_what_is_none_of_them_is_not_guessed(text: str) -> None:
    assert read_modcod(text) is None


def test_a_number_of_another_system_means_nothing() -> None:
    assert find_modcod(14) == MODCODS[13]
    assert (found := find_modcod(155)) is not None
    assert found.name == "16APSK 26/45"
    assert all(find_modcod(number) is None for number in (0, 29, 127, 176, 250, float("nan")))


def test_the_best_is_what_carries_most_at_an_esno() -> None:
    assert find_best_modcod(-5.0) is None
    assert (at_eight := find_best_modcod(8.0)) is not None
    assert at_eight.name == "16APSK 3/5"  # 8PSK 3/4 carries less, 16APSK 28/45 needs more
