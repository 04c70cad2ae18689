"""SECRET_KEY and how tokens are signed: what is taken, and what is refused by name."""

import secrets
from typing import Any

import pytest
from pydantic import ValidationError

from tests.helpers.settings import settings_from


def refusal(**given: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        settings_from(**given)
    return str(refused.value)


@pytest.mark.parametrize(
    "key",
    [
        "your-super-secret-key-change-in-production",
        "your-super-secret-key-for-dev-only-change-this",
        "your-secret-key-here-please-change-in-prod",
        "changethis" * 4,
        "a_random_string_of_characters_for_security",
        "fallback_secure_random_string_for_dev",
        "CHANGE_ME_CHANGE_ME_CHANGE_ME_CHANGE_ME",
        "django-insecure-8#1k2j3h4g5f6d7s8a9q0w1e2r3t4y",
        "openssl rand -hex 32 goes in here, in 32 bytes",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    ],
)
def test_a_placeholder_of_a_template_is_no_secret(key: str) -> None:
    assert "is a placeholder that everybody knows; make one with `bcom-graphql secret`" in refusal(secret_key=key)


@pytest.mark.parametrize("key", ["x" * 64, "0123456789" * 4, "password" * 4, "abc" * 20, "\u00fc" * 40])
def test_a_key_that_repeats_itself_is_no_secret(key: str) -> None:
    assert "repeats itself" in refusal(secret_key=key)


def test_keys_as_they_are_made_are_accepted() -> None:
    made = [secrets.token_hex(16), secrets.token_hex(32), secrets.token_urlsafe(24), secrets.token_urlsafe(48)]

    kept = [settings_from(secret_key=key).secret_key for key in made]

    assert [key.get_secret_value() for key in kept if key] == made


def test_an_algorithm_that_is_none_of_ours_is_refused_by_name() -> None:
    assert "algorithm\n  Input should be 'HS256', 'HS384' or 'HS512'" in refusal(algorithm="RS256")


def test_a_longer_hash_needs_a_longer_key() -> None:
    key = secrets.token_hex(16)

    assert "SECRET_KEY must have at least 64 characters for ALGORITHM=HS512" in refusal(
        algorithm="HS512", secret_key=key
    )


@pytest.mark.parametrize("minutes", [0, 1441])
def test_an_access_token_lives_for_a_minute_to_a_day(minutes: int) -> None:
    assert "access_token_expire_minutes" in refusal(access_token_expire_minutes=minutes)
