"""Every environment variable, documented; `.env` in the working directory is read too."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bcom_graphql import host_names, secret_keys
from bcom_graphql.demo.options import DemoOptions
from bcom_graphql.graphql.limits import Introspection, Limits
from resolvers.accounts.passwords import WAITING
from resolvers.base.rate_limits import DEFAULTS, Budget
from resolvers.store.events import nats
from resolvers.store.postgres.database_url import parse as parse_database_url

SHORTEST_TOKEN = 16
DEFAULT = Limits()


class Settings(BaseSettings):
    """Names are the fields' in capitals. Raises pydantic's ValidationError for what is not acceptable."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    database_url: Annotated[
        SecretStr | None,
        Field(
            description="PostgreSQL 15 or newer, as postgresql://user:password@host/database?sslmode=require, with"
            " libpq's other parameters. Empty: an embedded PostgreSQL 18 with its data in DATA_FOLDER."
        ),
    ] = None
    secret_key: Annotated[
        SecretStr | None,
        Field(
            description="Signs access tokens; at least 32 characters. Make one with `bcom-graphql secret`."
            " Only --demo makes its own."
        ),
    ] = None
    algorithm: Annotated[
        Literal["HS256", "HS384", "HS512"],
        Field(description="Signs access tokens; HS384 needs a SECRET_KEY of at least 48 characters, HS512 of 64."),
    ] = "HS256"
    access_token_expire_minutes: Annotated[
        int, Field(ge=1, le=1440, description="How long an access token is good for; then it is refreshed.")
    ] = 30
    clock_leeway_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=300,
            description="How far the clocks of two machines may be apart: a token from the near future is accepted, and"
            " one that has just expired.",
        ),
    ] = 30
    data_folder: Annotated[Path, Field(description="Where the embedded PostgreSQL and the demo keep their data.")] = (
        Path(".bcom")
    )
    events_url: Annotated[
        SecretStr | None,
        Field(
            description="nats://user:password@host:4222/prefix, or tls://…, with commas between several servers, has"
            " processes wake each other by NATS (needs the extra `nats`). Subjects begin with the prefix; without one,"
            " with bcom. Empty: by PostgreSQL's LISTEN and NOTIFY."
        ),
    ] = None
    pool_size: Annotated[int, Field(ge=2, le=500, description="Database connections of each server process.")] = 10
    retention_days: Annotated[
        int,
        Field(
            ge=1, le=36_500, description="Samples older than this are rejected, and dropped, a week of them an hour."
        ),
    ] = 400
    event_retention_days: Annotated[
        int,
        Field(
            ge=1,
            le=36_500,
            description="Events older than this are dropped; who subscribes again with an older cursor is told so.",
        ),
    ] = 7
    learning_seconds: Annotated[
        float,
        Field(gt=0, description="How often one of the processes looks for streams to learn anew from their history."),
    ] = 10
    silence_seconds: Annotated[
        float,
        Field(gt=0, description="How often one of the processes looks for networks, sites and links that fell silent."),
    ] = 10
    automatic_incidents: Annotated[
        bool,
        Field(description="Gather anomalies of one fault into one incident; one of the processes with this does it."),
    ] = True
    incident_reopen_minutes: Annotated[
        float,
        Field(ge=0, description="An incident that is over is reopened if its fault comes back within this time."),
    ] = 15
    automatic_analyses: Annotated[
        bool,
        Field(description="Look for the root cause of each incident. Without it, incidents go by place alone."),
    ] = True
    automatic_recommendations: Annotated[
        bool, Field(description="Recommend by itself what to do about each incident, as soon as it is announced.")
    ] = True
    playbook: Annotated[
        Path | None,
        Field(
            description="A TOML file of actions to recommend, or a folder of such files. They replace and extend the"
            " built-in playbook."
        ),
    ] = None
    maintenance_seconds: Annotated[
        float,
        Field(
            gt=0,
            description="How often partitions are made and dropped, samples rolled up, and old events dropped, by one"
            " of the processes.",
        ),
    ] = 60
    shutdown_seconds: Annotated[
        float,
        Field(
            ge=0,
            description="How long subscribers are still sent what has happened, when the server is told to stop. Then"
            " their sockets are closed with 1001, and they come back.",
        ),
    ] = 5
    model_cache_size: Annotated[
        int, Field(ge=1, description="Model versions that each server process keeps loaded: those used last.")
    ] = 8
    model_cache_seconds: Annotated[
        float,
        Field(gt=0, description="How long a loaded model is used before it is read from the database again."),
    ] = 3600
    log_format: Annotated[
        Literal["console", "json"], Field(description="How logs are written: for people or for machines.")
    ] = "console"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"], Field(description="The least that is logged.")
    ] = "info"
    traces: Annotated[
        bool,
        Field(
            description="Send traces by OpenTelemetry (needs the extra `otel`). Where to, and how many of them, say its"
            " own variables: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER and so on."
        ),
    ] = False
    compiled: Annotated[
        bool,
        Field(
            description="Operations are executed by code that is generated for them; `off`: by graphql-core, slowly."
        ),
    ] = True
    slow_seconds: Annotated[
        float,
        Field(
            ge=0, description="Queries and mutations that take as long are logged, without their variables; 0: none."
        ),
    ] = DEFAULT.slow_seconds
    profile: Annotated[
        Literal["production", "development"],
        Field(description="In production only who has signed in sees the schema; development shows it to everybody."),
    ] = "production"
    registration: Annotated[
        Literal["open", "closed"] | None,
        Field(
            description="`open`: anybody who reaches the server may register, the first as ADMIN, others as VIEWER."
            " `closed`: admins make accounts, and the first admin registers with a token from the log, or is made with"
            " `bcom-graphql user`. Empty: closed in production, open in development."
        ),
    ] = None
    api_keys_per_user: Annotated[
        int, Field(ge=1, description="Active API keys of one user; whoever wants more revokes one first.")
    ] = 50
    introspection: Annotated[
        Introspection | None,
        Field(
            description="Who may ask for the schema, and is told what they may have meant: everybody, signed-in or"
            " nobody. Empty: as the profile says."
        ),
    ] = None
    allowed_origins: Annotated[
        list[str],
        NoDecode,
        Field(
            description="Origins of other sites' pages that may call this server (CORS) and open WebSockets, with"
            " commas between, such as https://noc.example.com. Empty: only pages of this server."
        ),
    ] = []
    graphql_path: Annotated[
        str,
        Field(
            pattern=r"^(/[A-Za-z0-9._~-]+)+$",
            description="Where GraphQL is served, and GraphiQL: /api/v1/graphql, for instance. Begins with a slash and"
            " ends without.",
        ),
    ] = "/graphql"
    allowed_hosts: Annotated[
        list[str],
        NoDecode,
        Field(
            description="Names that this server answers to, with commas between; *.example.com means those below it."
            " Addresses, names without a dot and loopback's always are, and health checks pass with any. Empty: in"
            " production any name; in development only `serve --host`'s, as any page could point its own name here."
        ),
    ] = []
    trusted_proxies: Annotated[
        str,
        Field(
            description="Addresses of reverse proxies, with commas between, whose X-Forwarded-For tells the client's"
            " address."
        ),
    ] = "127.0.0.1"
    trusted_documents: Annotated[
        Path | None,
        Field(
            description="A JSON file of registered documents by their ids, as TypeScript's client preset writes it"
            " (persisted-documents.json). With it, no other document is executed."
        ),
    ] = None

    max_depth: Annotated[int, Field(ge=1, description="Levels of fields in an operation.")] = DEFAULT.depth
    max_aliases: Annotated[int, Field(ge=0, description="Aliases in an operation.")] = DEFAULT.aliases
    max_directives: Annotated[int, Field(ge=0, description="Directives in an operation.")] = DEFAULT.directives
    max_root_fields: Annotated[int, Field(ge=1, description="Root fields in an operation.")] = DEFAULT.root_fields
    max_tokens: Annotated[
        int, Field(ge=10, description="Tokens in a document; its characters are limited to 40 times as many.")
    ] = DEFAULT.tokens
    max_fields: Annotated[
        int, Field(ge=1, description="Fields in an operation, counted wherever their fragment is spread.")
    ] = DEFAULT.fields
    max_operations: Annotated[int, Field(ge=1, description="Operations in a document.")] = DEFAULT.operations
    max_cost: Annotated[
        int,
        Field(
            ge=1,
            description="What an operation may cost: its objects, times the sizes of its pages, and a hundredth of a"
            " point for each value of a series. The header GraphQL-Cost reports it.",
        ),
    ] = DEFAULT.cost
    max_page: Annotated[int, Field(ge=1, description="Entries in a page, and ids in `nodes`.")] = DEFAULT.page
    max_list: Annotated[int, Field(ge=1, description="Entries of a list in an operation's variables.")] = DEFAULT.list
    max_batch: Annotated[int, Field(ge=1, description="Operations in a batch.")] = DEFAULT.batch
    max_response: Annotated[
        int, Field(ge=1000, description="Bytes in an answer, or in a batch's answers together.")
    ] = DEFAULT.response
    max_string: Annotated[
        int,
        Field(
            ge=100, description="Characters in a string argument where the schema says nothing else (`@constraint`)."
        ),
    ] = DEFAULT.string
    max_body: Annotated[
        int, Field(ge=1000, description="Bytes in the body of a request by somebody who has signed in.")
    ] = DEFAULT.body
    max_values: Annotated[
        int,
        Field(ge=100, description="Values in its JSON: commas and opening brackets, those in texts too."),
    ] = DEFAULT.values
    max_anonymous_body: Annotated[
        int, Field(ge=1000, description="Bytes in a body, or a WebSocket's message, while nobody has signed in.")
    ] = DEFAULT.anonymous_body
    max_anonymous_values: Annotated[int, Field(ge=100, description="Values in its JSON.")] = DEFAULT.anonymous_values
    max_anonymous_bodies: Annotated[
        int,
        Field(
            ge=0,
            description="Bytes of such bodies that each process holds at once, without the first 16 kB of each. Beyond "
            "that only those who have signed in may send more than these.",
        ),
    ] = DEFAULT.anonymous_bodies
    max_upload: Annotated[int, Field(ge=1000, description="Bytes in a request with files.")] = DEFAULT.upload
    max_files: Annotated[int, Field(ge=1, description="Files in a request.")] = DEFAULT.files
    max_spooled: Annotated[
        int, Field(ge=1000, description="Bytes of all uploads together that each process receives and reads at once.")
    ] = DEFAULT.spooled
    min_free_disk: Annotated[
        int, Field(ge=0, description="Bytes of free disk that uploads leave where they are kept meanwhile.")
    ] = DEFAULT.free_disk
    min_arrival_rate: Annotated[
        int,
        Field(
            ge=1,
            description="Bytes per second at which a request must arrive, after its first MAX_SECONDS. At any rate"
            " it must be there within MAX_UPLOAD_SECONDS.",
        ),
    ] = DEFAULT.slowest
    upload_folder: Annotated[
        Path | None,
        Field(
            description="Where uploads are kept while they are received, as files without names. Empty: in the system's"
            " folder for temporary files (TMPDIR)."
        ),
    ] = None
    max_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=86_400,
            description="How long an operation may take; then it is stopped. Nor does an answer wait longer for a"
            " client that reads nothing of it (on Linux).",
        ),
    ] = DEFAULT.seconds
    max_upload_seconds: Annotated[float, Field(gt=0, description="The same for operations with files.")] = (
        DEFAULT.upload_seconds
    )
    max_import_memory: Annotated[
        int,
        Field(
            ge=256 << 20,
            description="Bytes that the process may take which reads an imported file for a server process, two at a"
            " time; and `bcom-graphql import`. Only on Linux.",
        ),
    ] = 512 << 20
    max_unpacked: Annotated[
        int,
        Field(
            ge=1 << 20,
            description="Bytes that an imported file may unpack to which is compressed by gzip or zstd. They are never"
            " in memory as a whole.",
        ),
    ] = 4 << 30
    max_statement_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=86_400,
            description="How long the database may work on one statement; then it is stopped. A connection on which"
            " nothing is heard of it for 5 seconds longer is given up.",
        ),
    ] = 30.0
    max_headers: Annotated[int, Field(ge=20, description="Headers of a request.")] = DEFAULT.headers
    max_header_bytes: Annotated[
        int, Field(ge=4096, description="Bytes of a request's address and headers together.")
    ] = DEFAULT.header_bytes
    max_header_seconds: Annotated[
        float, Field(gt=0, description="How long a request's headers may take to arrive; then it is answered with 408.")
    ] = DEFAULT.header_seconds
    max_idle_seconds: Annotated[
        float,
        Field(
            gt=0,
            description="How long an HTTP connection is kept that asks for nothing more. Behind a load balancer, longer"
            " than it keeps them.",
        ),
    ] = 75.0
    max_open_connections: Annotated[
        int,
        Field(
            ge=16,
            description="TCP connections of each process; or 100 fewer than the files it may open (`ulimit -n`), if"
            " that is less. When there are more, whichever has waited longest with its request makes way.",
        ),
    ] = DEFAULT.open_connections
    max_pending_connections: Annotated[
        int,
        Field(
            ge=1,
            description="WebSockets of one address that have not sent their connection_init, in each process; of all"
            " addresses four times as many.",
        ),
    ] = DEFAULT.pending_connections
    max_init_seconds: Annotated[
        float, Field(gt=0, description="How long a WebSocket may wait with its connection_init.")
    ] = DEFAULT.init_seconds
    max_message: Annotated[int, Field(ge=1000, description="Bytes in a WebSocket's message.")] = 16 * 1024 * 1024
    max_fragments: Annotated[int, Field(ge=1, description="Fragments of a WebSocket's message.")] = DEFAULT.fragments
    max_frames: Annotated[int, Field(ge=100, description="Frames that a WebSocket may send in ten seconds.")] = (
        DEFAULT.frames
    )
    max_connections: Annotated[
        int, Field(ge=1, description="WebSockets and event streams of one caller, in each process.")
    ] = DEFAULT.connections
    max_subscriptions: Annotated[int, Field(ge=1, description="Operations going on in one WebSocket.")] = (
        DEFAULT.subscriptions
    )

    sign_ins_waiting: Annotated[
        int,
        Field(
            ge=1,
            description="Passwords that wait to be hashed, in each process; whoever comes beyond is asked to try again"
            " later (503, Retry-After). A core hashes about seven a second.",
        ),
    ] = WAITING
    rate_limits: Annotated[bool, Field(description="`off` for load tests.")] = True
    rate_limit_storage: Annotated[
        SecretStr | None,
        Field(
            description="redis://… to limit across processes (needs the extra `redis`). Empty: in each process's"
            " memory."
        ),
    ] = None
    rate_operations: Annotated[
        str,
        Field(description="Points for operations of one caller: 10 each, and 1 for each object they may return."),
    ] = DEFAULTS[Budget.OPERATIONS]
    rate_analyses: Annotated[
        str,
        Field(
            description="Detections, analyses, recommendations and trainings of one caller, for each mutation by"
            " itself."
        ),
    ] = DEFAULTS[Budget.ANALYSES]
    rate_samples: Annotated[str, Field(description="Recorded samples of one caller.")] = DEFAULTS[Budget.SAMPLES]
    rate_sign_ins_by_account: Annotated[
        str,
        Field(
            description="Attempts to sign in to one account from one network (/24, of IPv6 /64); a success forgives the"
            " failures before it."
        ),
    ] = DEFAULTS[Budget.SIGN_INS_BY_ACCOUNT]
    rate_sign_ins_by_strangers: Annotated[
        str,
        Field(
            description="Attempts to sign in to one account from all networks together that it has not been signed in"
            " from within 90 days; those that it has are not limited by this."
        ),
    ] = DEFAULTS[Budget.SIGN_INS_BY_STRANGERS]
    rate_sign_ins_by_address: Annotated[str, Field(description="Attempts to sign in from one address.")] = DEFAULTS[
        Budget.SIGN_INS_BY_ADDRESS
    ]
    metrics: Annotated[
        bool,
        Field(
            description="Serve /metrics in the Prometheus text format: with METRICS_TOKEN to whoever has it, else to"
            " loopback and private addresses that ask directly."
        ),
    ] = True
    metrics_token: Annotated[
        SecretStr | None, Field(description="What Prometheus sends as its bearer token; at least 16 characters.")
    ] = None
    demo: Annotated[bool, Field(description="Keep feeding the demo fleet; set by `serve --demo`.")] = False
    demo_seed: Annotated[
        int | None,
        Field(
            ge=0,
            le=2**31,
            description="Draws the demo's fleet, its noise and its faults. Empty: as the database was filled, or 1.",
        ),
    ] = None
    demo_speed: Annotated[
        float,
        Field(
            ge=1,
            le=600,
            description="How many seconds of the demo's fleet pass in a real one. Its clock starts two days in the past"
            " and is the real one once it has caught up; at 1 it always is.",
        ),
    ] = 30
    demo_fault_seconds: Annotated[
        float,
        Field(
            ge=0,
            description="Real seconds from one fault of the demo to the next, on average, while its clock runs at"
            " DEMO_SPEED. 0: nothing breaks.",
        ),
    ] = 90

    @property
    def limits(self) -> Limits:
        """What the protocol server refuses beyond."""
        by_profile = Introspection.SIGNED_IN if self.profile == "production" else Introspection.EVERYBODY
        given = {name.removeprefix("max_"): value for name, value in self if name.startswith("max_")}
        # uvicorn's business, the database's and the file readers'
        for name in ("message", "idle_seconds", "statement_seconds", "import_memory", "unpacked"):
            del given[name]
        given |= {"free_disk": self.min_free_disk, "slowest": self.min_arrival_rate}
        return Limits(**given, slow_seconds=self.slow_seconds, introspection=self.introspection or by_profile)

    @property
    def demo_options(self) -> DemoOptions:
        """How the demo is to run."""
        return DemoOptions(self.demo_seed, self.demo_speed, self.demo_fault_seconds)

    @property
    def open_registration(self) -> bool:
        """Whether anybody may register."""
        return (self.registration or ("closed" if self.profile == "production" else "open")) == "open"

    @property
    def hosts(self) -> list[str]:
        """The names that are answered to besides those that always are."""
        return self.allowed_hosts or ([host_names.ANY] if self.profile == "production" else [])

    @property
    def rates(self) -> dict[Budget, str]:
        """Each budget's limits; none where they are off."""
        named = {budget: getattr(self, f"rate_{budget.name.lower()}") for budget in Budget}
        return named if self.rate_limits else {}

    @field_validator(*(f"rate_{budget.name.lower()}" for budget in Budget))
    @classmethod
    def _a_rate(cls, text: str) -> str:
        try:
            parse_many(text)
        except ValueError as error:
            message = f"must look like 100/hour, or 5/minute; 20/hour (not {text!r})"
            raise ValueError(message) from error
        return text

    @field_validator("log_format", "log_level", "profile", mode="before")
    @classmethod
    def _in_any_case(cls, given: Any) -> Any:
        """INFO is info, and WARN what others call warning."""
        word = given.strip().lower() if isinstance(given, str) else given
        return "warning" if word == "warn" else word

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _origins(cls, given: Any) -> Any:
        """Scheme and host, and the port where it is not the scheme's own."""
        origins = [origin.strip() for origin in given.split(",") if origin.strip()] if isinstance(given, str) else given
        for origin in origins:
            parts = urlsplit(origin)
            if origin != f"{parts.scheme}://{parts.netloc}" or parts.scheme not in ("http", "https"):
                message = f"must list origins such as https://noc.example.com (not {origin!r})"
                raise ValueError(message)
        return origins

    @field_validator("graphql_path")
    @classmethod
    def _nobody_elses(cls, path: str) -> str:
        if path.split("/")[1] in ("health", "metrics", "static"):
            message = "must not begin with /health, /metrics or /static, which are others'"
            raise ValueError(message)
        return path

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _host_names(cls, given: Any) -> Any:
        names = [name.strip().lower() for name in given.split(",") if name.strip()] if isinstance(given, str) else given
        for name in names:
            if not host_names.ALLOWED.fullmatch(name):
                message = f"must list names such as noc.example.com or *.example.com, without a port (not {name!r})"
                raise ValueError(message)
        return names

    @field_validator("rate_limit_storage")
    @classmethod
    def _redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("redis://", "rediss://")):
            message = "must look like redis://host:6379/0"
            raise ValueError(message)
        return url

    @field_validator("events_url")
    @classmethod
    def _nats(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            nats.parse(url.get_secret_value())
        return url

    @field_validator("secret_key")
    @classmethod
    def _a_secret(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and (fault := secret_keys.fault(key.get_secret_value())):
            message = f"{fault}; make one with `bcom-graphql secret`"
            raise ValueError(message)
        return key

    @model_validator(mode="after")
    def _long_enough_to_sign(self) -> Self:
        """RFC 7518, section 3.2: a key of the hash's size or larger."""
        needed = int(self.algorithm.removeprefix("HS")) // 8
        if self.secret_key is not None and len(self.secret_key.get_secret_value().encode()) < needed:
            message = f"SECRET_KEY must have at least {needed} characters for ALGORITHM={self.algorithm}"
            raise ValueError(message)
        return self

    @field_validator("metrics_token")
    @classmethod
    def _hard_to_guess(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < SHORTEST_TOKEN:
            message = f"must have at least {SHORTEST_TOKEN} characters; make one with `bcom-graphql secret`"
            raise ValueError(message)
        return token

    @field_validator("database_url")
    @classmethod
    def _understood(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            parse_database_url(url.get_secret_value())
        return url
