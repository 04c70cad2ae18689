"""Settings that no developer's own file has a say in."""

from typing import Any

from bcom_graphql.settings import Settings


def settings_from(**given: Any) -> Settings:
    """These, and the environment's. Raises ValueError."""
    return Settings(_env_file=None, **given)  # type: ignore[call-arg]  # pydantic-settings takes it
