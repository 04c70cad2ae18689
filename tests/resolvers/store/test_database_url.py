"""DATABASE_URL in the many ways that platforms and other drivers write it."""

import pytest
from pydantic import ValidationError

from resolvers.store.postgres.database import Database
from resolvers.store.postgres.database_url import Address, KeepAlive, parse
from tests.helpers.freezing import FreezingProxy
from tests.helpers.settings import settings_from

HUSH = "hush-hush"
SCHEMES = [
    "postgres",
    "postgresql",
    "postgresql+asyncpg",
    "postgresql+psycopg",
    "postgresql+psycopg2",
    "postgresql+psycopg2cffi",
    "postgresql+pg8000",
    "jdbc:postgresql",
    "POSTGRES",
]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_driver_s_scheme_means_the_same(scheme: str) -> None:
    address = parse(f"{scheme}://me:{HUSH}@host:5433/bcom")

    assert address.hosts == (("host", 5433),)
    assert (address.user, address.password, address.database) == ("me", HUSH, "bcom")


@pytest.mark.parametrize("around", ["{}\n", "  {}\t", '"{}"', "'{}'\r\n", ' "{}" '])
def test_what_an_editor_or_a_file_leaves_around_it_is_not_part_of_it(around: str) -> None:
    assert parse(around.format("postgres://me:p@host/bcom")) == parse("postgres://me:p@host/bcom")


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgres://host/bcom", (("host", 5432),)),
        ("postgres://one:5432,two:5433/bcom", (("one", 5432), ("two", 5433))),
        ("postgres:///bcom?host=one,two&port=5433", (("one", 5433), ("two", 5433))),
        ("postgres:///bcom?host=one&host=two&port=5432,5433", (("one", 5432), ("two", 5433))),
        ("postgres://[::1]:5433/bcom", (("::1", 5433),)),
        ("postgres://%2Fvar%2Frun%2Fpostgresql/bcom", (("/var/run/postgresql", 5432),)),
        ("postgres://me@/bcom?host=/cloudsql/project:region:name", (("/cloudsql/project:region:name", 5432),)),
        ("postgres:///bcom", ()),
    ],
)
def test_hosts_are_names_addresses_and_sockets_and_may_be_several(url: str, hosts: object) -> None:
    assert parse(url).hosts == hosts


@pytest.mark.parametrize(
    ("written", "password"),
    [("p%40ss%2Fw%3F", "p@ss/w?"), ("p@ss", "p@ss"), ("a/b#c", "a/b#c"), ("a:b", "a:b"), ("", None)],
)
def test_passwords_are_taken_with_and_without_percent_signs(written: str, password: str | None) -> None:
    address = parse(f"postgres://me:{written}@host/bcom")

    assert (address.password, address.hosts) == (password, (("host", 5432),))


# What these platforms' own pages hand out.
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://owner:npg_x@ep-cool-1-pooler.eu-central-1.aws.neon.tech/db?sslmode=require&channel_binding=require",
        "postgres://default:x@ep-1.us-east-1.postgres.vercel-storage.com:5432/verceldb?sslmode=require&supa=base-pooler.x",
        "postgresql://postgres.ref:x@aws-0-eu.pooler.supabase.com:5432/postgres?pgbouncer=true&connection_limit=1",
        "postgres://avnadmin:x@pg-1.aivencloud.com:12691/defaultdb?sslmode=require",
        "postgres://bcom:x@top2.nearest.of.bcom-db.internal:5432/bcom?sslmode=disable",
        "postgresql://me:x@host/bcom?schema=public",
        "postgresql://me:x@host/bcom?sslmode=require&sslcert=&sslrootcert=&options=",
        "jdbc:postgresql://host:5432/bcom?user=me&password=x&ssl=true&prepareThreshold=0",
        "postgresql://me:x@host/bcom?connect_timeout=5&application_name=bcom&options=-c%20search_path%3Dbcom",
        "postgresql://me:x@host/bcom?keepalives=1&keepalives_idle=20&keepalives_interval=5&keepalives_count=3",
        "postgresql://me:x@one,two/bcom?target_session_attrs=read-write&gssencmode=disable&client_encoding=utf8",
    ],
)
def test_what_platforms_hand_out_is_understood(url: str) -> None:
    given = settings_from(database_url=url)

    assert given.database_url is not None
    assert parse(given.database_url.get_secret_value()).hosts


def test_libpq_s_parameters_keep_their_meaning() -> None:
    address = parse(
        "postgres://me@host/bcom?sslmode=verify-full&sslrootcert=system&connect_timeout=4&application_name=noc"
        "&options=-csearch_path%3Dnoc&keepalives_idle=7&tcp_user_timeout=9000&pgbouncer=true"
    )

    assert address.seconds == 4.0
    assert address.at_start == {"application_name": "noc", "options": "-csearch_path=noc"}
    assert address.keep_alive == KeepAlive(idle=7, user_timeout_ms=9000)
    assert address.is_behind_pooler
    assert address.arguments()["ssl"].check_hostname


@pytest.mark.parametrize(
    ("query", "sslmode"),
    [("ssl=require", "require"), ("ssl=true", "require"), ("ssl=false", "disable"), ("sslmode=no-verify", "require")],
)
def test_tls_is_asked_for_in_other_drivers_words_too(query: str, sslmode: str) -> None:
    assert parse(f"postgres://host/bcom?{query}").for_driver == {"sslmode": sslmode}


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("host/bcom?nonsense=1&more=2", "parameters that are not known here: more, nonsense"),
        ("host/bcom?connect_timeout=soon", "connect_timeout that is no whole number: soon"),
        ("host/bcom?gssencmode=require", "asks for gssencmode=require, which cannot be had"),
        ("host/bcom?client_encoding=latin1", "asks for client_encoding=latin1, which cannot be had"),
        ("host/bcom?sslrootcert=/nowhere/ca.pem", "names a file that is not there: sslrootcert=/nowhere/ca.pem"),
        ("one,two/bcom?port=1,2,3", "has 3 ports for 2 hosts"),
        ("host:port/bcom", "has a host that is none"),
        ("host:99999/bcom", "has a port that is none: 99999"),
        ("host/bcom?port=0", "has a port that is none: 0"),
        ("host/bcom?sslmode=required", "has sslmode=required, which must be one of disable, allow, prefer, require,"),
        ("host/bcom?target_session_attrs=master", "has target_session_attrs=master, which must be one of any, primary"),
    ],
)
def test_what_is_not_understood_is_named_without_the_password(rest: str, said: str) -> None:
    with pytest.raises(ValidationError) as failed:
        settings_from(database_url=f"postgres://me:{HUSH}@{rest}")

    [error] = failed.value.errors()
    assert said in error["msg"]
    assert HUSH not in str(failed.value)


@pytest.mark.parametrize("url", ["mysql://me@host/bcom", "host/bcom", "sqlite:///bcom", "postgresql:bcom"])
def test_what_is_no_postgresql_is_told_how_it_must_look(url: str) -> None:
    with pytest.raises(ValueError, match="must look like postgresql://user:password@host/database"):
        parse(url)


def test_an_address_s_text_says_where_and_keeps_the_password() -> None:
    address = parse(f"postgres://me:{HUSH}@one:5432,[::1]:5433/bcom?sslpassword={HUSH}")

    assert str(address) == "one:5432,[::1]:5433, database bcom"
    assert HUSH not in repr(address)
    assert isinstance(address, Address)


async def test_a_session_has_what_was_asked_for_and_what_we_need(database_url: str) -> None:
    between = "&" if "?" in database_url else "?"
    database = Database(f"{database_url}{between}application_name=noc&options=-csearch_path%3Dpublic,noc")

    async with database.driver() as connection:
        shown = [
            await connection.fetchval("SELECT current_setting($1)", name)
            for name in ("application_name", "search_path", "statement_timeout", "TimeZone", "plan_cache_mode")
        ]
    await database.close()

    assert shown == ["noc", "public,noc", "30s", "UTC", "force_custom_plan"]


async def test_the_second_host_is_taken_when_the_first_is_down(database_url: str) -> None:
    async with FreezingProxy.to(database_url) as proxy:
        database = Database(proxy.url.replace("@", "@127.0.0.1:9,"))

        async with database.driver() as connection:
            assert await connection.fetchval("SELECT 1") == 1
        await database.close()
