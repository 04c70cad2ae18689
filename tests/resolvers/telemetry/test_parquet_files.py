"""Parquet files of other writers: what is in a column is what it says, or the column is named.

Two of the files were made by Arrow's C++ writer, as polars can write neither; they are ours, packed into text.
"""

import base64
import io
import zlib

import polars as pl
import pytest

from resolvers.telemetry.files.pieces import Unreadable
from resolvers.telemetry.files.tabular import open_table

WITH_DICTIONARIES = (  # link: int32, esno_db: double, direction: text; each a dictionary
    "c-n=N+fLg+5QZlvS_1Ngg;>j$QYklBiUi~U=}AHA+HP9fRK%`QK&sRl#|lwQk~$Q>Kp&$QeT+T|kJFj8O+-=4$e!#RzMX$p&OrDr"
    "Ugj09_PN4g3!tp70{{oU#r0jzxP~vQVrrwNpl78L10*!QT@V$jqSaqLN~v5cD7H<76Z<j7?03Lm%kVO~3OFW|9mOceli3vbCN9^b"
    "<!t_CbOBt&Xk#=<qVRe$pY1@Ow$hndHM<s6xng#JX=cW9MQ8eFePlJQN_`iF;l6Zc4S%|IW?H}yCTuguiaC-T>9O^*WX1nS)f`=k"
    "lJHmk()yuTx1|TPu9^j}|H4+QqW@OFtQxBD{gcy|*(DgaYYnp2*cL)~BD42Gq{1GHo)BZ<jAhQohS#)sF?iN!q_Wi|*Cy9X$;-Mw"
    "!2KxnhC>-kdR5PCO37((_AWj@@D~^DLyVo2q-0IU;-0xKR-Vh9vWh1PJy&=0KFE2W$T{M#c_E>3*zVk%wfza5t0#weS*tA%Y2P18"
    "^+T$^rT*OPLKz~sJkL=<Egl8f|AywdQlz&M;T;b}amf$#QPy4tr=6tO%*pf4UEOWc{mAfRp)dW1zM~^BYKtKG_C31Z3m1#MAW7zF"
    "?Iuc=`0do%PxqVqEwhWCb@srMHGl#Bf&TzX%)y)"
)
WITH_AN_ENCRYPTED_COLUMN = (  # esno_db; the footer and link are plain
    "c-jka3^EjD5X}*l(-GwXGT21fWEdD2%w(8=Bo8Aa11IA=4hDT7=S_oxr5(HKeEVtFZdJTbJ<oakgq)r8UXjy|rvukCe!b1%GX0O{"
    "si`ifcKFT{v)KaHa?`8!=jOf93l7Xa#W^kD);kfQ$_@L2^IC7lH1WI>Shj@i<)?!O<*#3Ijr$T_sV>SQX=BPD!B(7{k(!$*%EBPZ"
    "qRJ$}l9QR2%^=DJWU{9g=jF$zBr%BbNXkg+s4>U@wWzW&NJ12eGKuksO=1*tQRDEG0s4hOl!?JclTA{Mfd}XqkZLZ7YM41-4VM_j"
    "&M>O^)W8(R=pYnGOk%25%1*8HO)N<*%1q1&sVqoUvQi50_6;#q(oxFH0}AIQ<^-4I7bT_xWlD-lQ-Q+8Zu$8@8Sm6eC9AZ=oMNC@"
    "ZelS+#M1?6KsHcwc~N3PL28PNt2a=fP}?NmudpyVEi<qn$S2=3qNvE+JUGnH!quX{z1%D)D9YQbJU`SoHNq>~(W%nN%q2X{%e*ik"
    "-O$$-XjV#oX;MyVILO4zymXj5fDU)fOD?J`D9OyvgIVqC7Fe2{Qk3ISmhBbn9%SgQubmPQXlsjbkvG^y?%IXP83oB@+Eq@O`Ud`v"
    "7Uf3f8RbBAwG0dreqO);&75IUdy;=q+dG#dDsoyG^JT01iWZ14G8~u6Ki08!NnA?EpGv*TCs|r^RlXQ5p1WkR`rD`GyWeJRI@G}^"
    "rTtlBdf}z&^V6Qq_$I+1_5>IcY8+w{m_!&DG!zOFiwa9qOLUV93Um{Tit@`9%2JDpfu2w>GSf5AGnCW;rcn@*(cm~;cIfl6Ttg2b"
    "ptFuq99z(U%PscID=taQOHKucnTxBNW2jGv5{gV{kPnI!Y7D2L$FOm6nVGSRd1678VX29~S!#BAfQd_(X>mnGhKG}fUqN<Ax`k0;"
    "fJZ@zn@LDolv|)_mS<Fsxp_*q35hYB8x?MmlAY?9XkZ@b>KRd-R#8xvQ;r$Kft4oufleMC0VRRvc`0VaKF%fKse#}a&JSE)UB7VW"
    "-5)h;8^o<2c1C)+Jz`h9xz%yL81ph_28IA&sR00!5nh="
)


def unpack(text: str) -> io.BytesIO:
    return io.BytesIO(zlib.decompress(base64.b85decode(text)))


def test_columns_with_dictionaries_have_the_types_of_their_values() -> None:
    table = open_table(unpack(WITH_DICTIONARIES))

    [piece] = table.read_pieces([*table.schema])

    assert table.schema == {"link": pl.Int32, "esno_db": pl.Float64, "direction": pl.String}
    assert piece.rows.schema == table.schema
    assert piece.rows.row(0) == (7, 12.5, "OB")


@pytest.mark.parametrize("dtype", [pl.Categorical(), pl.Enum(["12.5", "n/a"])])
def test_texts_with_a_dictionary_are_texts(dtype: pl.DataType) -> None:
    file = io.BytesIO()
    pl.DataFrame({"esno_db": pl.Series(["12.5", "n/a", None], dtype=dtype)}).write_parquet(file)

    table = open_table(file)

    [piece] = table.read_pieces(["esno_db"])
    assert (table.schema, [*piece.rows["esno_db"]]) == ({"esno_db": pl.String}, ["12.5", "n/a", None])
    assert [*piece.lines] == [1, 2, 3]


def test_an_encrypted_column_is_named_and_the_others_are_read() -> None:
    table = open_table(unpack(WITH_AN_ENCRYPTED_COLUMN))

    assert next(iter(table.read_pieces(["link"]))).rows["link"][0] == 1
    with pytest.raises(Unreadable, match="its column esno_db is encrypted"):
        next(iter(table.read_pieces(["link", "esno_db"])))


def test_a_damaged_column_is_named() -> None:
    file = io.BytesIO()
    numbers = pl.DataFrame({"link": range(1000), "esno_db": [float(number) for number in range(1000)]})
    numbers.write_parquet(file, compression="zstd", statistics=False)
    content = bytearray(file.getvalue())
    content[4:24] = b"\xff" * 20  # the first page's header

    table = open_table(io.BytesIO(bytes(content)))

    with pytest.raises(Unreadable, match="its column link is damaged"):
        next(iter(table.read_pieces([*table.schema])))
