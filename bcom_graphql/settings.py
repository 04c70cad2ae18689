"""Every environment variable, documented; `.env` in the working directory is read too."""

import textwrap
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SHORTEST_SECRET = 32


class Settings(BaseSettings):
    """Names are the fields' in capitals. Raises pydantic's ValidationError for what is not acceptable."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    database_url: Annotated[
        SecretStr | None,
        Field(
            description="PostgreSQL 15 or newer, as postgresql+asyncpg://user:password@host/database."
            " Empty: an embedded PostgreSQL 18 with its data in DATA_FOLDER."
        ),
    ] = None
    secret_key: Annotated[
        SecretStr | None,
        Field(
            description="Signs access tokens; at least 32 characters. Make one with `bcom-graphql secret`."
            " Only --demo makes its own."
        ),
    ] = None
    data_folder: Annotated[Path, Field(description="Where the embedded PostgreSQL and the demo keep their data.")] = (
        Path(".bcom")
    )
    pool_size: Annotated[int, Field(ge=2, le=500, description="Database connections of each server process.")] = 10
    retention_days: Annotated[int, Field(ge=1, le=36_500, description="Samples older than this are rejected.")] = 400
    log_format: Annotated[
        Literal["console", "json"], Field(description="How logs are written: for people or for machines.")
    ] = "console"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="The least that is logged.")
    ] = "info"
    demo: Annotated[bool, Field(description="Keep feeding the demo fleet; set by `serve --demo`.")] = False

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < SHORTEST_SECRET:
            message = f"must have at least {SHORTEST_SECRET} characters; make one with `bcom-graphql secret`"
            raise ValueError(message)
        return key

    @field_validator("database_url")
    @classmethod
    def _with_driver(cls, url: SecretStr | None) -> SecretStr | None:
        """`postgres://` and `postgresql://`, as platforms hand them out, mean the same."""
        if url is None:
            return None
        scheme, separator, rest = url.get_secret_value().partition("://")
        if not separator or scheme not in ("postgres", "postgresql", "postgresql+asyncpg"):
            message = "must look like postgresql+asyncpg://user:password@host/database"
            raise ValueError(message)
        return SecretStr(f"postgresql+asyncpg://{rest}")


def example() -> str:
    """The text of `.env.example`: every setting with its description and default."""
    lines = ["# Every setting, with its default. Copy to `.env` and change what you need."]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        lines += ["", *(f"# {line}" for line in textwrap.wrap(field.description or "", 100))]
        lines += [f"{name.upper()}={default.lower() if isinstance(field.default, bool) else default}"]
    return "\n".join(lines) + "\n"
