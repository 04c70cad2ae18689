"""Tells of variables that somebody meant as settings and that are none."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from bcom_graphql.settings import Settings

PREFIXES: Final = ("MAX_", "RATE_")  # of many settings each
ALIKE: Final = 0.87  # as a misspelling is
ALIKE_BEHIND_PREFIX: Final = 0.75
SHORTEST: Final = 6  # a shorter name is like many another
OTHERS: Final = {"MAX_JOBS", "MAX_OLD_SPACE", "MAX_OLD_SPACE_SIZE"}  # of programs that many have
WITHOUT_DATABASE: Final = "DATABASE_URL takes its place: postgresql+asyncpg://user:password@host/database."
FIRST_ADMIN: Final = "Make the first admin with `bcom-graphql user ADDRESS --role admin`."
ELSEWHERE: Final = {  # what other services call it, and what does it here
    "API_V1_PREFIX": "GRAPHQL_PATH takes its place.",
    "API_V1_STR": "GRAPHQL_PATH takes its place.",
    "BACKEND_CORS_ORIGINS": "ALLOWED_ORIGINS takes its place, with commas between origins.",
    "DEBUG": "LOG_LEVEL=debug logs more; PROFILE=development shows the schema to everybody.",
    "FIRST_SUPERUSER": FIRST_ADMIN,
    "FIRST_SUPERUSER_EMAIL": FIRST_ADMIN,
    "FIRST_SUPERUSER_PASSWORD": FIRST_ADMIN,
    "PROJECT_NAME": "The server has one name, BCom GraphQL.",
    "SQLALCHEMY_DATABASE_URI": WITHOUT_DATABASE,
}
OF_A_DATABASE: Final = ("POSTGRES_SERVER", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB")


def unknown_settings(environment: Mapping[str, str], file: Path = Path(".env")) -> Iterator[str]:
    """A sentence for each: of the environment, and of the file where there is one."""
    from_file = {name: value for name, value in dotenv_values(file).items() if value is not None}
    named = {name.upper(): value for name, value in (from_file | dict(environment)).items() if value}
    for name in sorted(named.keys() - {known.upper() for known in Settings.model_fields}):
        if advice := _advice(name, has_database="DATABASE_URL" in named):
            yield f"{name} is no setting. {advice}"


def _advice(name: str, *, has_database: bool) -> str:
    """What to do instead; empty for a variable that is none of our business."""
    if name in ELSEWHERE:
        return ELSEWHERE[name]
    if name in OF_A_DATABASE:  # with a DATABASE_URL it is for the database itself, as in docker-compose.yml
        return "" if has_database else WITHOUT_DATABASE
    if name in OTHERS:
        return ""
    known = [field.upper() for field in Settings.model_fields]
    is_prefixed = name.startswith(PREFIXES)
    close = get_close_matches(name, known, 1, ALIKE_BEHIND_PREFIX if is_prefixed else ALIKE)
    if close and (is_prefixed or len(name) >= SHORTEST):
        return f"Did you mean {close[0]}?"
    return "`bcom-graphql settings` lists those that there are." if is_prefixed else ""
