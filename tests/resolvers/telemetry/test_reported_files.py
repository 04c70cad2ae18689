"""What users of other products reported of their files, in our own words: each as it should be read."""

import gzip

import pytest

from tests.resolvers.telemetry.test_csv_text import Cells, read

FOLLOWED = "Letters follow a closing quote: line {}."
OPEN = "A quote is opened that is not closed: line {}."
WIDTH = "The row has not as many cells as the heading: line {} has {}, the heading {}."

READ: dict[str, tuple[bytes, list[Cells]]] = {
    "max-mapper/binary-csv 7: inches in two rows joined all between": (
        b'row,item\n1,dish of 16"\n2,no quotes\n3,dish of 12"\n',
        [("1", 'dish of 16"'), ("2", "no quotes"), ("3", 'dish of 12"')],
    ),
    "mholt/PapaParse 107: a quoted word in an unquoted cell, between tabs": (
        b'a\tb\tc\n61\tParticipation " prescription "\t-390,66\n62\tx\t1,5\n',
        [("61", 'Participation " prescription "', "-390,66"), ("62", "x", "1,5")],
    ),
    "JoshClose/CsvHelper 1953: a nickname": (b'a,b\n1, George "Buck" Smith\n', [("1", ' George "Buck" Smith')]),
    "mholt/PapaParse 43, tidyverse/readr 1236: lines that end with CR": (
        b"mfr,calories\rN,70\rQ,120\r",
        [("N", "70"), ("Q", "120")],
    ),
    "microsoft/vscode-mssql 774: UTF-16 without a byte order mark": (
        "a,b\nZürich,1\n".encode("utf-16-le"),
        [("Zürich", "1")],
    ),
    "alexcaza/export-to-csv 119: sep= behind a byte order mark, with umlauts": (
        "\ufeffsep=,\r\na,b\r\nBägs,1\r\n".encode(),
        [("Bägs", "1")],
    ),
    "gr8b/zabbix-module-sqlexplorer 18: line breaks in cells": (
        b'a,b\r\n"two\r\nlines",1\r\n"and\nmore",2\r\n',
        [("two\r\nlines", "1"), ("and\nmore", "2")],
    ),
    "oven-sh/bun 31522: only the first of several gzip members": (
        gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n"),
        [("1", "2"), ("3", "4")],
    ),
    "influxdata/influxdb-client-csharp 134: annotations in another order": (
        b"#group,false,false,true,true,true,false,false\n#datatype,string,long,string,string,string,double,dateTime:RFC3339\n"
        b"#default,mean,,,,,,\n,result,table,_field,_measurement,city,_value,_time\n"
        b",,0,temperatureC,weather,London,30,T1\n,,1,temperatureF,weather,London,86,T1\n",
        [("London", "T1", "30", "86")],
    ),
    "influxdata/docs-v2 5017: a table to be written, whose time is no _time": (
        b"#group,false,false,false,false\n#datatype,measurement,tag,double,time\n#default,test,,,\n"
        b",m,host,usage,time\n,,host1,2.7,1482669077\n,,host2,2.2,1482669087\n",
        [("test", "host1", "2.7", "1482669077"), ("test", "host2", "2.2", "1482669087")],
    ),
}
REFUSED: dict[str, tuple[str, list[Cells], dict[int, str]]] = {
    "osiegmar/FastCSV 173: a quote that is never closed took the rest": (
        'a,b\n"1,2\n3,4\n',
        [("3", "4")],
        {2: OPEN.format(2)},
    ),
    "gnieh/fs2-data 50: a cell that begins with a quotation": (
        'name,age,text\nJohn,75,"Starts" but ends without\nJane,76,fine\n',
        [("Jane", "76", "fine")],
        {2: FOLLOWED.format(2)},
    ),
    "uniVocity/univocity-parsers 61: quotes in quotes that are not doubled": (
        'a;b;c\nexample;"this is a "super example"";example3\nx;y;z\n',
        [("x", "y", "z")],
        {2: FOLLOWED.format(2)},
    ),
    "pandas-dev/pandas 9729: a row too short became NaN": (
        "a,b,c\n1,2\n3,4,5\n",
        [("3", "4", "5")],
        {2: WIDTH.format(2, 2, 3)},
    ),
    "AndreaBozzo/dataprof 418: a row too long lost its end": (
        "a;b;c\n1;2;3\nJane;Doe;35;55000;more\n",
        [("1", "2", "3")],
        {3: WIDTH.format(3, 5, 3)},
    ),
    "Unidata/rosetta 17: rows with nothing but the pressure": (
        "Press;Sal.;Temp;\n0,10\n0,20\n0,30;32,21;8,651;\n",
        [("0,30", "32,21", "8,651", None)],
        {2: WIDTH.format(2, 1, 4), 3: WIDTH.format(3, 1, 4)},
    ),
}


@pytest.mark.parametrize("report", READ)
def test_it_is_read(report: str) -> None:
    content, rows = READ[report]

    found = read(content)

    assert ([*found.rows.values()], found.refused) == (rows, {})


@pytest.mark.parametrize("report", REFUSED)
def test_its_row_is_refused_alone(report: str) -> None:
    content, rows, refused = REFUSED[report]

    found = read(content)

    assert ([*found.rows.values()], found.refused) == (rows, refused)
