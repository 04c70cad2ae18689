"""What was said of a file once is saved under a name, and used, listed and deleted by it."""

from pathlib import Path
from typing import Any

import pytest

from ml.catalogue.metrics import TargetKind
from resolvers.base.roles import Role
from resolvers.context import Services
from tests.graphql.test_imports import NOON, imported
from tests.helpers.processes import run
from tests.helpers.support import Api, Factory, stored

COLUMNS = [{"heading": "Zeit", "field": "at"}, {"heading": "Rauschabstand", "field": "esnoDb"}]
FILE = f"link;direction;Zeit;Rauschabstand\n7;OB;{NOON:%Y-%m-%d} 12:00:00;11,5\n"
SAVE = """mutation ($input: ImportMappingInput!) { saveImportMapping(input: $input) { __typename
  ... on ImportMapping { kind name columns { heading field } decimal timeZone timeUnit }
  ... on InvalidInput { message path } } }"""
LIST = "{ importMappings { kind name decimal timeUnit } }"
DELETE = """mutation ($name: String!) { deleteImportMapping(kind: LINK, name: $name) { __typename
  ... on ImportMapping { name } ... on NotFound { message } } }"""


@pytest.fixture
async def operator(api: Api, make: Factory) -> Api:
    await make.link(number=7)
    return await api.as_(Role.OPERATOR)


async def save(api: Api, name: str = "Hub export", **said: Any) -> dict[str, Any]:
    given = {"kind": "LINK", "name": name, "columns": COLUMNS, "decimal": ",", "timeZone": "UTC"} | said
    result: dict[str, Any] = (await api.run(SAVE, input=given))["saveImportMapping"]
    return result


async def test_a_saved_mapping_is_used_by_its_name(operator: Api, services: Services) -> None:
    saved = await save(operator)
    result = await imported(operator, FILE, mapping="Hub export")

    [row] = await stored(services, TargetKind.LINK)
    assert saved == {
        "__typename": "ImportMapping",
        "kind": "LINK",
        "name": "Hub export",
        "columns": COLUMNS,
        "decimal": ",",
        "timeZone": "UTC",
        "timeUnit": None,
    }
    assert (result["accepted"], row["at"], row["esno_db"]) == (1, NOON, 11.5)


async def test_what_is_said_now_counts_before_what_was_saved(operator: Api) -> None:
    await save(operator, columns=[COLUMNS[0], {"heading": "Pegel", "field": "esnoDb"}])

    result = await imported(operator, FILE, mapping="Hub export", columns=[COLUMNS[1]])

    assert (result["__typename"], result["accepted"]) == ("RecordedMetrics", 1)


async def test_saving_again_takes_the_place_and_deleting_ends_it(operator: Api) -> None:
    await save(operator)
    await save(operator, decimal=None, timeUnit="SECONDS")
    listed = (await operator.run(LIST))["importMappings"]
    deleted = (await operator.run(DELETE, name="Hub export"))["deleteImportMapping"]
    again = (await operator.run(DELETE, name="Hub export"))["deleteImportMapping"]

    assert listed == [{"kind": "LINK", "name": "Hub export", "decimal": None, "timeUnit": "SECONDS"}]
    assert deleted == {"__typename": "ImportMapping", "name": "Hub export"}
    assert again == {"__typename": "NotFound", "message": "There is no such import mapping."}
    assert (await operator.run(LIST))["importMappings"] == []


async def test_an_unknown_name_tells_which_there_are(operator: Api) -> None:
    await save(operator)

    result = await imported(operator, FILE, mapping="Hub")

    assert result["message"] == "No mapping of this name is saved for a link; there are: Hub export."
    assert result["path"] == ["options", "mapping"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"name": " "}, "A name has 1 to 100 printable characters."),
        ({"columns": [{"heading": "a", "field": "snr"}]}, "There is no snr; it must be one of"),
        ({"timeZone": "Berlin"}, "The time zone must be one of the Time Zone Database"),
    ],
)
async def test_what_could_never_be_used_is_not_saved(operator: Api, said: dict[str, Any], message: str) -> None:
    result = await save(operator, **said)

    assert result["__typename"] == "InvalidInput"
    assert result["message"].startswith(message)
    assert (await operator.run(LIST))["importMappings"] == []


async def test_the_command_line_saves_uses_lists_and_deletes_the_same(
    tmp_path: Path, database_url: str, make: Factory, services: Services
) -> None:
    await make.link(number=7)
    file = tmp_path / "hub.csv"
    file.write_text(FILE)
    said = ("--map", "Zeit=at", "--map", "Rauschabstand=esnoDb", "--decimal", ",", "--time-zone", "UTC")

    def call(*arguments: str) -> tuple[int, str]:
        result = run(tmp_path, *arguments, DATABASE_URL=database_url)
        return result.returncode, result.stdout.strip() or result.stderr

    into = ("import", "--kind", "link", str(file))
    saved, used = call(*into, *said, "--save-mapping", "hub", "--dry-run"), call(*into, "--mapping", "hub")
    listed, deleted, gone = call("mappings"), call("mappings", "--delete", "hub", "--kind", "link"), call("mappings")

    assert (saved[0], used[0]) == (0, 0), (saved, used)
    assert len(await stored(services, TargetKind.LINK)) == 1
    assert listed == (0, "link hub: Zeit=at; Rauschabstand=esnoDb; decimal ,; time zone UTC")
    assert deleted == (0, f"deleted {listed[1]}")
    assert "hub" not in gone[1]
