"""The modulation and coding of DVB-S2 and DVB-S2X: what a number or a name means, what it carries and needs."""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Modcod:
    """One modulation and code rate.

    number: the MODCOD of DVB-S2, 1 to 28, or the even PLS code of DVB-S2X.
    bits_per_symbol: its spectral efficiency. threshold_db: the Es/N0 that it needs.
    """

    number: int
    name: str
    bits_per_symbol: float
    threshold_db: float


def find_modcod(number: float) -> Modcod | None:
    """Returns what a sample's MODCOD stands for; None for one of another system.

    Of DVB-S2X an odd PLS code is the same with pilots.
    """
    whole = int(number) if number == number else 0  # NaN: not measured  # noqa: PLR0124
    return _BY_NUMBER.get(whole if whole < FIRST_PLS_CODE else whole - whole % 2)


def find_best_modcod(esno_db: float) -> Modcod | None:
    """Returns what carries most of all that an Es/N0 allows; None below the lowest threshold."""
    possible = [modcod for modcod in MODCODS if modcod.threshold_db <= esno_db]
    return max(possible, key=lambda modcod: modcod.bits_per_symbol, default=None)


def read_modcod(text: str) -> int | None:
    """Returns the number of a name as modems write it: '8PSK 3/4', '8psk-3/4', '8PSK34', 'e8psk34'; None if unknown."""
    return _BY_NAME.get(_simplify(text))


FIRST_PLS_CODE: Final = 128  # below are those of DVB-S2, which are four times its MODCOD
_PREFIX: Final = re.compile(r"^(dvbs2x?)?e?(?=\d|qpsk)")
_FRAME: Final = re.compile(r"(?<=psk)[sn](?=\d)|(normal|short|pilots?|frames?)+$")


def _simplify(text: str) -> str:
    letters = "".join(letter for letter in text.casefold() if letter.isalnum() and letter.isascii())
    return _FRAME.sub("", _PREFIX.sub("", letters)).replace("8apsk", "8psk")


# Es/N0 for a quasi error free stream in white noise, ideal demodulator, normal frames without pilots.
# EN 302 307-1 V1.4.1, tables 12 and 13: in the order of their MODCOD.
_S2: Final = """
QPSK 1/4 0.490243 -2.35, QPSK 1/3 0.656448 -1.24, QPSK 2/5 0.789412 -0.30, QPSK 1/2 0.988858 1.00,
QPSK 3/5 1.188304 2.23, QPSK 2/3 1.322253 3.10, QPSK 3/4 1.487473 4.03, QPSK 4/5 1.587196 4.68,
QPSK 5/6 1.654663 5.18, QPSK 8/9 1.766451 6.20, QPSK 9/10 1.788612 6.42, 8PSK 3/5 1.779991 5.50,
8PSK 2/3 1.980636 6.62, 8PSK 3/4 2.228124 7.91, 8PSK 5/6 2.478562 9.35, 8PSK 8/9 2.646012 10.69,
8PSK 9/10 2.679207 10.98, 16APSK 2/3 2.637201 8.97, 16APSK 3/4 2.966728 10.21, 16APSK 4/5 3.165623 11.03,
16APSK 5/6 3.300184 11.61, 16APSK 8/9 3.523143 12.89, 16APSK 9/10 3.567342 13.13, 32APSK 3/4 3.703295 12.73,
32APSK 4/5 3.951571 13.64, 32APSK 5/6 4.119540 14.28, 32APSK 8/9 4.397854 15.69, 32APSK 9/10 4.453027 16.05"""
# EN 302 307-2 V1.1.1, tables 17a and 20a: with their PLS codes. Short frames and those of VL-SNR are left out.
_S2X: Final = """
132 QPSK 13/45 0.567805 -2.03, 134 QPSK 9/20 0.889135 0.22, 136 QPSK 11/20 1.088581 1.45,
138 8APSK 5/9-L 1.647211 4.73, 140 8APSK 26/45-L 1.713601 5.13, 142 8PSK 23/36 1.896173 6.12,
144 8PSK 25/36 2.062148 7.02, 146 8PSK 13/18 2.145136 7.49, 148 16APSK 1/2-L 1.972253 5.97,
150 16APSK 8/15-L 2.104850 6.55, 152 16APSK 5/9-L 2.193247 6.84, 154 16APSK 26/45 2.281645 7.51,
156 16APSK 3/5 2.370043 7.80, 158 16APSK 3/5-L 2.370043 7.41, 160 16APSK 28/45 2.458441 8.10,
162 16APSK 23/36 2.524739 8.38, 164 16APSK 2/3-L 2.635236 8.43, 166 16APSK 25/36 2.745734 9.27,
168 16APSK 13/18 2.856231 9.71, 170 16APSK 7/9 3.077225 10.65, 172 16APSK 77/90 3.386618 11.99,
174 32APSK 2/3-L 3.291954 11.10, 178 32APSK 32/45 3.510192 11.75, 180 32APSK 11/15 3.620536 12.17,
182 32APSK 7/9 3.841226 13.05, 184 64APSK 32/45-L 4.206428 13.98, 186 64APSK 11/15 4.338659 14.81,
190 64APSK 7/9 4.603122 15.47, 194 64APSK 4/5 4.735354 15.87, 198 64APSK 5/6 4.936639 16.55,
200 128APSK 3/4 5.163248 17.73, 202 128APSK 7/9 5.355556 18.53, 204 256APSK 29/45-L 5.065690 16.98,
206 256APSK 2/3-L 5.241514 17.24, 208 256APSK 31/45-L 5.417338 18.10, 210 256APSK 32/45 5.593162 18.59,
212 256APSK 11/15-L 5.768987 18.84, 214 256APSK 3/4 5.900855 19.57"""


def _parse(number: int, entry: str) -> Modcod:
    modulation, rate, bits, threshold = entry.split()
    return Modcod(number, f"{modulation} {rate}", float(bits), float(threshold))


def _parse_numbered(entry: str) -> Modcod:
    number, rest = entry.strip().split(maxsplit=1)
    return _parse(int(number), rest)


MODCODS: Final = (
    *(_parse(number, entry) for number, entry in enumerate(_S2.split(","), 1)),
    *map(_parse_numbered, _S2X.split(",")),
)
_BY_NUMBER: Final = {modcod.number: modcod for modcod in MODCODS}
_BY_NAME: Final = {_simplify(modcod.name): modcod.number for modcod in MODCODS}
