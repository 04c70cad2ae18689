"""Versions as files: out of one database and into another; garbage, and worse, is refused with a sentence."""

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bcom_graphql.services import build_services
from ml.catalogue.models import MODELS
from resolvers.base.access import SYSTEM
from resolvers.base.errors import InvalidInput
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.models.export import Files, export, import_folder, import_zip, write
from resolvers.models.models import find_version
from schema.relay import global_id
from tests.conftest import cloned, settings_of
from tests.helpers.models import LINK, candidate, variant
from tests.helpers.support import Api, GraphQLFailed, codes, id_of, sql

EXPORT = "query ($version: ID!) { exportModel(version: $version) { fileName archive } }"
IMPORT = """mutation ($file: Upload!) { importModel(file: $file) { __typename
  ... on ModelVersion { id version stage sha256 sizeBytes trainedAt trainingSamples algorithm features trainedBy { id }
  hyperparameters { name value } details { name value } metrics { name value samples dataset measuredAt }
  history { action by { email } } model { name } }
  ... on InvalidInput { message path } ... on Conflict { message } ... on Forbidden { requiredRole } } }"""


@pytest.fixture
async def admin(api: Api) -> Api:
    return await api.as_(Role.ADMIN)


@pytest.fixture
async def files(services: Services) -> Files:
    """Of a version that is not stored: `changed` is."""
    row = await candidate(services, "2.0.0", vus_pr=0.5)
    return await export(Context(services, SYSTEM), row.id)


def changed(files: Files, artefact: bytes | None = None, **metadata: Any) -> bytes:
    """The zip with other metadata, and with an artefact that they agree with."""
    artefact = files.artefact if artefact is None else artefact
    described = {**json.loads(files.metadata), "version": "3.0.0", "sha256": hashlib.sha256(artefact).hexdigest()}
    return Files(files.folder, artefact, json.dumps({**described, **metadata}).encode()).to_zip()


async def send(api: Api, content: bytes) -> dict[str, Any]:
    form = {"operations": json.dumps({"query": IMPORT, "variables": {"file": None}}), "map": '{"0":["variables.file"]}'}
    response = await api.http.post(api.url, data=form, files={"0": ("model.zip", content)}, headers=api.headers)
    body = response.json()
    if "errors" in body:
        raise GraphQLFailed(body["errors"])
    answer: dict[str, Any] = body["data"]["importModel"]
    return answer


async def refused(api: Api, content: bytes) -> str:
    """Why; nothing is stored."""
    answer = await send(api, content)
    versions = (await api.run("{ models { versions { totalCount } } }"))["models"]
    assert sum(model["versions"]["totalCount"] for model in versions) == len(MODELS) + 1, "the champions, and 2.0.0"
    assert answer["__typename"] == "InvalidInput", answer
    assert answer["path"] == ["file"]
    return str(answer["message"])


# ---------------------------------------------------------------- out and in again


async def test_an_exported_version_is_imported_elsewhere_byte_for_byte(
    admin: Api, services: Services, postgres: str
) -> None:
    row = await candidate(services, "2.0.0", vus_pr=0.5, event_recall=0.9)
    exported = (await admin.run(EXPORT, version=id_of(row)))["exportModel"]
    content = base64.b64decode(exported["archive"])

    with cloned(postgres) as url:
        elsewhere = build_services(settings_of(url))
        context = Context(elsewhere, SYSTEM)
        imported = await import_zip(context, io.BytesIO(content))
        back = await export(context, imported.id)
        loaded = await elsewhere.registry.version(imported.id)
        await elsewhere.database.close()

    assert exported["fileName"] == "anomaly_link_v2.0.0.zip"
    assert back.to_zip() == content
    assert imported.sha256 == row.sha256
    assert loaded.fitted.to_bytes() == back.artefact


async def test_an_imported_version_is_a_candidate_that_keeps_its_past(admin: Api, services: Services) -> None:
    row = await candidate(services, "2.0.0", vus_pr=0.5)
    files = await export(Context(services, SYSTEM), row.id)

    answer = await send(admin, changed(files))

    past = json.loads(files.metadata)
    viewer = (await admin.run("{ viewer { email } }"))["viewer"]
    assert (answer["version"], answer["stage"], answer["model"]) == ("3.0.0", "CANDIDATE", {"name": LINK})
    assert answer["history"] == [{"action": "IMPORTED", "by": viewer}]
    assert (answer["sha256"], answer["sizeBytes"]) == (past["sha256"], row.size_bytes)
    assert (answer["algorithm"], answer["features"]) == ("a variant of the champion", ["one", "two"])
    assert answer["hyperparameters"][2] == {"name": "share", "value": "0.25"}
    assert answer["trainedBy"] is None
    assert answer["trainedAt"][:19] == past["trained_at"][:19]
    [metric] = answer["metrics"]
    assert metric["measuredAt"][:19] == past["metrics"][0]["measured_at"][:19]
    assert (metric["name"], metric["value"], metric["samples"], metric["dataset"]) == (
        "vus_pr",
        0.5,
        1000,
        "unseen fleets",
    )


async def test_importing_again_changes_nothing(admin: Api, files: Files) -> None:
    first = await send(admin, changed(files))

    again = await send(admin, changed(files))

    assert again == first
    assert len(again["history"]) == 1


async def test_importing_another_version_of_that_name_is_a_conflict(
    admin: Api, files: Files, services: Services
) -> None:
    other = (await variant(services, number=99)).artefact

    answer = await send(admin, changed(files, other, version="2.0.0"))

    assert answer == {
        "__typename": "Conflict",
        "message": "anomaly_link 2.0.0 exists already with other contents, and versions never change."
        " Give this one another version.",
    }


async def test_the_files_may_lie_in_no_folder_or_beside_others(admin: Api, files: Files) -> None:
    described = json.loads(files.metadata) | {"version": "3.0.0"}
    content = zipped({"README": b"hi", "model.npz": files.artefact, "metadata.json": json.dumps(described).encode()})

    answer = await send(admin, content)

    assert answer["version"] == "3.0.0"


async def test_a_version_is_written_to_a_folder_and_read_again(services: Services, tmp_path: Path) -> None:
    row, context = await candidate(services), Context(services, SYSTEM)

    folder = await write(context, row.id, tmp_path / "new" / "folder")
    again = await write(context, row.id, tmp_path / "new" / "folder")
    imported = await import_folder(context, folder)

    assert folder == again == tmp_path / "new" / "folder" / "anomaly_link_v2.0.0"
    assert sorted(path.name for path in folder.iterdir()) == ["metadata.json", "model.npz"]
    assert imported.id == row.id


async def test_a_folder_that_lacks_a_file_or_has_a_huge_one_is_refused(services: Services, tmp_path: Path) -> None:
    context = Context(services, SYSTEM)
    with pytest.raises(InvalidInput, match=r"model\.npz cannot be read: No such file or directory\."):
        await import_folder(context, tmp_path)

    with (tmp_path / "model.npz").open("wb") as huge:
        huge.truncate(40_000_000)

    with pytest.raises(InvalidInput, match=r"model\.npz is larger than 33554432 bytes"):
        await import_folder(context, tmp_path)


async def test_what_is_no_version_cannot_be_exported(admin: Api) -> None:
    for id in (global_id("ModelVersion", 999), global_id("Model", LINK), "nonsense"):
        assert await codes(admin, EXPORT, version=id) == ["NOT_FOUND"]


async def test_a_damaged_version_is_not_exported(admin: Api, services: Services) -> None:
    row = await candidate(services)
    await sql(services, f"UPDATE model_versions SET artefact = '\\x00' WHERE id = {row.id}")

    assert await codes(admin, EXPORT, version=id_of(row)) == ["CONFLICT"]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_only_admins_export_and_import(api: Api, files: Files, services: Services, role: Role) -> None:
    caller = await api.as_(role)
    row = await find_version(Context(services, SYSTEM), LINK, "2.0.0")

    imported = await send(caller, changed(files))

    assert imported == {"__typename": "Forbidden", "requiredRole": "ADMIN"}
    assert await codes(caller, EXPORT, version=id_of(row)) == ["FORBIDDEN"]


# ---------------------------------------------------------------- garbage


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def arrays(files: Files) -> dict[str, Any]:
    with np.load(io.BytesIO(files.artefact)) as npz:
        return {name: npz[name] for name in npz.files}


def npz(**named: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **named)
    return file.getvalue()


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def claiming(shape: str, of: str = "<f8", content: int = 64) -> bytes:
    """An array's file that claims to be as large as that."""
    header = f"{{'descr': '{of}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(content)


ARCHIVES: dict[str, tuple[Callable[[Files], bytes], str]] = {
    "nothing": (lambda _: b"", "it is not a zip file"),
    "no zip": (lambda files: files.metadata, "it is not a zip file"),
    "cut off": (lambda files: cut(changed(files)), "it is not a zip file"),
    "no metadata": (lambda files: zipped({"model.npz": files.artefact}), "one model.npz and one metadata.json"),
    "two of them": (
        lambda files: zipped({"a/metadata.json": b"{}", "b/metadata.json": b"{}", "model.npz": files.artefact}),
        "one model.npz and one metadata.json",
    ),
    "a bomb": (lambda _: zipped({"model.npz": bytes(40_000_000), "metadata.json": b"{}"}), "it unpacks to more than"),
    "many members": (lambda _: zipped({str(number): b"" for number in range(101)}), "or 100 files"),
    "another compression": (
        lambda files: zipped({"model.npz": files.artefact, "metadata.json": files.metadata}, zipfile.ZIP_BZIP2),
        "compressed by something else",
    ),
    "a flipped byte": (lambda files: flipped(changed(files)), "not a zip file, or it is damaged"),
}


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([255 - content[middle]]) + content[middle + 1 :]


@pytest.mark.parametrize("name", ARCHIVES)
async def test_a_file_that_is_no_export_is_refused(admin: Api, files: Files, name: str) -> None:
    make, said = ARCHIVES[name]

    message = await refused(admin, make(files))

    assert message.startswith("The file cannot be imported: ")
    assert said in message


ARTEFACTS: dict[str, tuple[Callable[[Files], bytes], str]] = {
    "nothing": (lambda _: b"", "not a zip file"),
    "garbage": (lambda _: b"\x80\x04garbage", "not a zip file"),
    "cut off": (lambda files: cut(files.artefact), "not a zip file"),
    "a flipped byte": (lambda files: flipped(files.artefact), "does not match its checksum"),
    "pickled objects": (
        lambda files: npz(**(arrays(files) | {"typical": np.array([print, {}], dtype=object)})),
        "typical.npy holds pickled objects, which could run anything",
    ),
    "no arrays": (lambda _: zipped({"typical.npy": b"\x80\x04 pickled"}), "typical.npy is not an array"),
    "a bomb": (lambda _: zipped({"typical.npy": bytes(135_000_000)}), "it unpacks to more than"),
    "an array that claims terabytes": (
        lambda _: zipped({"typical.npy": claiming("(1000000000000,)")}),
        "typical.npy is not as large as it claims",
    ),
    "an array that claims billions of nothing": (
        lambda _: zipped({"features.npy": claiming("(10000000000,)", "<U0", 0)}),
        "features.npy holds items of size 0",
    ),
    "a text of nested lists": (
        lambda _: npz(header=np.frombuffer(b"[" + b"[]," * 10_000_000 + b"0]", dtype=np.uint8)),
        "header.npy holds more text than any model has",
    ),
    "millions of names": (
        lambda _: npz(features=np.full(1_000_000, "x")),
        "features.npy holds more text than any model has",
    ),
    "a call as a shape": (lambda _: zipped({"typical.npy": claiming("print(1)")}), "typical.npy is not an array"),
    "nested deeply": (lambda _: zipped({"typical.npy": claiming("(" * 200)}), "typical.npy is not an array"),
    "no detector": (lambda _: npz(header=np.zeros(3)), "not a detector's artefact"),
    "of another kind": (
        lambda files: npz(
            **(arrays(files) | {"header": np.frombuffer(b'{"kind": "SITE"}', dtype=np.uint8)}),
        ),
        "cannot be loaded",
    ),
}


@pytest.mark.parametrize("name", ARTEFACTS)
async def test_an_artefact_that_is_no_model_is_refused(admin: Api, files: Files, name: str) -> None:
    make, said = ARTEFACTS[name]

    message = await refused(admin, changed(files, make(files)))

    assert message.startswith(("model.npz cannot be imported: ", "The artefact of anomaly_link 3.0.0 cannot be loaded"))
    assert said in message


METADATA: dict[str, tuple[dict[str, Any], str]] = {
    "another checksum": ({"sha256": "0" * 64}, "does not match the sha256"),
    "no checksum": ({"sha256": "x"}, "sha256: String should match"),
    "another model": ({"model": "anomaly_moon"}, "There is no model 'anomaly_moon' here; there are anomaly_network"),
    "a version with a path in it": ({"version": "../2"}, "version: String should match"),
    "features that are none": ({"features": "all"}, "features: Input should be a valid list"),
    "samples below none": ({"training_samples": -1}, "training_samples: Input should be greater"),
    "too large a seed": ({"seed": 2**63}, "seed: Input should be less"),
    "a time without an offset": ({"trained_at": "2026-01-01T00:00:00"}, "trained_at: Input should have timezone"),
    "settings that are none": ({"hyperparameters": {"trees": [1]}}, "hyperparameters.trees"),
    "a measure that is none": ({"metrics": [{"name": "vus_pr"}]}, "metrics.0.value: Field required"),
    "no number": ({"metrics": [{"name": "x", "value": float("nan")}]}, "is not JSON"),
    "a text without end": ({"algorithm": "x" * 1001}, "algorithm: String should have at most"),
}


@pytest.mark.parametrize("name", METADATA)
async def test_metadata_that_make_no_sense_are_refused(admin: Api, files: Files, name: str) -> None:
    given, said = METADATA[name]

    message = await refused(admin, changed(files, **given))

    assert said in message


async def test_metadata_that_are_no_json_or_no_object_are_refused(admin: Api, files: Files) -> None:
    for metadata in (b"", b"{", b"\xff", b"[]", b"null"):
        message = await refused(admin, zipped({"model.npz": files.artefact, "metadata.json": metadata}))

        assert message.startswith("metadata.json ")


@pytest.mark.parametrize("details", [{"a": "nul \x00"}, {"nul \x00": 1}])
async def test_text_that_the_database_cannot_hold_is_refused(admin: Api, files: Files, details: Any) -> None:
    answer = await send(admin, changed(files, details=details))

    assert answer["__typename"] == "InvalidInput"
    assert "NUL" in answer["message"]


async def test_details_nested_without_end_are_refused(admin: Api, files: Files) -> None:
    described = json.loads(files.metadata) | {"version": "3.0.0"}
    text = json.dumps(described).replace('"nothing"', "[" * 900 + "]" * 900)

    message = await refused(admin, zipped({"model.npz": files.artefact, "metadata.json": text.encode()}))

    assert "metadata.json cannot be used" in message
