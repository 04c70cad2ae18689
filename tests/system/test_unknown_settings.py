"""Variables that somebody meant as settings are told at the start; those of other programs are not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bcom_graphql.settings import Settings
from bcom_graphql.unknown_settings import unknown_settings
from tests.conftest import SECRET
from tests.helpers.places import ROOT
from tests.helpers.processes import run
from tests.helpers.settings import settings_from

NOWHERE = "postgresql+asyncpg://me@127.0.0.1:9/nothing"
ESCAPE = "\x1b["
LOG = """
import structlog
from bcom_graphql.observability.logging import configure_logging
configure_logging("console", "info")
structlog.get_logger().warning("hello")
"""
# What a shell, a platform or another program sets.
OF_OTHERS = """PATH HOME LANG PORT HOST HOSTNAME TERM SHELL USER TZ PWD EDITOR PAGER DISPLAY COLUMNS NO_COLOR
  FORCE_COLOR DYNO CI MAX_OLD_SPACE MAX_JOBS NODE_OPTIONS WEB_CONCURRENCY UVICORN_PORT PYTHONPATH VIRTUAL_ENV
  OMP_NUM_THREADS RENDER_SERVICE_NAME KUBERNETES_SERVICE_PORT METRICS_PORT LISTEN REDIS_URL SENTRY_DSN
  AWS_SECRET_ACCESS_KEY OTEL_EXPORTER_OTLP_ENDPOINT PROMETHEUS_MULTIPROC_DIR BCOM_PASSWORD SSH_AUTH_SOCK"""


def told(folder: Path, **environment: str) -> list[str]:
    return list(unknown_settings(environment, folder / ".env"))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MAX_DEPHT", "MAX_DEPTH"),
        ("max_dept", "MAX_DEPTH"),
        ("RATE_OPERATION", "RATE_OPERATIONS"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("SECRETKEY", "SECRET_KEY"),
        ("ALLOWED_ORIGIN", "ALLOWED_ORIGINS"),
        ("LOGLEVEL", "LOG_LEVEL"),
    ],
)
def test_a_misspelling_is_told_with_what_may_be_meant(tmp_path: Path, name: str, meant: str) -> None:
    assert told(tmp_path, **{name: "1"}) == [f"{name.upper()} is no setting. Did you mean {meant}?"]


@pytest.mark.parametrize("name", ["MAX_FOO_BAR", "RATE_UNHEARD_OF"])
def test_what_begins_like_settings_is_told(tmp_path: Path, name: str) -> None:
    assert told(tmp_path, **{name: "1"}) == [
        f"{name} is no setting. `bcom-graphql settings` lists those that there are."
    ]


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("DEBUG", "LOG_LEVEL=debug"),
        ("PROJECT_NAME", "BCom GraphQL"),
        ("API_V1_PREFIX", "GRAPHQL_PATH"),
        ("API_V1_STR", "GRAPHQL_PATH"),
        ("BACKEND_CORS_ORIGINS", "ALLOWED_ORIGINS"),
        ("POSTGRES_SERVER", "DATABASE_URL"),
        ("POSTGRES_USER", "DATABASE_URL"),
        ("POSTGRES_PASSWORD", "DATABASE_URL"),
        ("POSTGRES_DB", "DATABASE_URL"),
        ("SQLALCHEMY_DATABASE_URI", "DATABASE_URL"),
        ("FIRST_SUPERUSER", "bcom-graphql user"),
        ("FIRST_SUPERUSER_PASSWORD", "bcom-graphql user"),
    ],
)
def test_what_other_services_call_it_is_told_with_what_takes_its_place(tmp_path: Path, name: str, instead: str) -> None:
    [sentence] = told(tmp_path, **{name: "hush-hush"})

    assert sentence.startswith(f"{name} is no setting. ")
    assert instead in sentence
    assert "hush-hush" not in sentence


def test_the_file_is_read_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MAX_DEPHT=12\nLOG_LEVEL=info\n# MAX_FOO=1\n")

    assert told(tmp_path) == ["MAX_DEPHT is no setting. Did you mean MAX_DEPTH?"]


def test_variables_of_others_and_our_own_are_not_told(tmp_path: Path) -> None:
    ours = [name.upper() for name in Settings.model_fields]

    assert told(tmp_path, **dict.fromkeys([*OF_OTHERS.split(), *ours], "1")) == []
    assert told(tmp_path, MAX_DEPHT="") == []


def test_what_docker_compose_reads_beside_the_address_of_the_database_is_not_told(tmp_path: Path) -> None:
    assert told(tmp_path, DATABASE_URL=NOWHERE, POSTGRES_PASSWORD="for the other container") == []


@pytest.mark.parametrize(
    ("given", "meant"),
    [("INFO", "info"), ("Warn", "warning"), ("WARNING", "warning"), ("CRITICAL", "critical"), (" debug ", "debug")],
)
def test_a_level_may_be_written_in_any_case(given: str, meant: str) -> None:
    assert settings_from(log_level=given).log_level == meant  # type: ignore[arg-type]


def test_formats_and_profiles_may_be_written_in_any_case() -> None:
    settings = settings_from(log_format="JSON", profile="Development")  # type: ignore[arg-type]

    assert (settings.log_format, settings.profile) == ("json", "development")


def test_serve_tells_them(tmp_path: Path) -> None:
    result = run(tmp_path, "serve", SECRET_KEY=SECRET, DATABASE_URL=NOWHERE, MAX_DEPHT="3")

    assert "MAX_DEPHT is no setting. Did you mean MAX_DEPTH?" in result.stderr


@pytest.mark.parametrize(
    ("variables", "is_coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_the_log_is_coloured_only_on_a_terminal(variables: dict[str, str], is_coloured: bool) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    command = [sys.executable, "-c", LOG]
    result = subprocess.run(command, cwd=ROOT, env=kept | variables, capture_output=True, text=True, check=True)

    assert "hello" in result.stderr
    assert (ESCAPE in result.stderr) == is_coloured


def test_make_run_takes_another_port() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PORT"}
    make = ["make", "--dry-run", "--no-print-directory", "--old-file=.venv/installed", "run"]
    run_on = [
        subprocess.run([*make, *port], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
        for port in ([], ["PORT=8031"])
    ]

    assert [lines.splitlines()[-1].rpartition(" ")[2] for lines in run_on] == ["8010", "8031"]
