"""What clients can change."""

import asyncio
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import strawberry
from strawberry import ID

from ml.catalogue.metrics import TargetKind
from resolvers.accounts import accounts, api_keys, sessions, users
from resolvers.accounts.sessions import SignedIn
from resolvers.accounts.users import GivenPassword
from resolvers.detection import anomalies, sensitivity
from resolvers.detection import on_request as detection
from resolvers.fleet import topology
from resolvers.models import export as model_files
from resolvers.models import models, training
from resolvers.telemetry import recording as metrics
from resolvers.telemetry.file_import import import_upload
from resolvers.telemetry.recording import RecordedBatch
from schema.accounts import ApiKey, CreatedApiKey, LoggedOut, Session, User, UserPassword
from schema.directives import Batch, Name, Note
from schema.enums import Role, Verdict
from schema.inputs import (
    CreateUserInput,
    DetectLinkInput,
    DetectNetworkInput,
    DetectSiteInput,
    LinkColumns,
    LinkSampleInput,
    LoginInput,
    NetworkColumns,
    NetworkSampleInput,
    RegisterInput,
    SiteColumns,
    SiteSampleInput,
    TopologyInput,
    UpdateUserInput,
    frame_of_columns,
    frame_of_samples,
    measurements,
    topology_spec,
)
from schema.models import ImportModelResult, ModelVersion, ModelVersionResult, Sensitivity, SensitivityResult
from schema.problems import Conflict, Forbidden, InvalidCredentials, InvalidInput, NotFound
from schema.recommendations import Advice
from schema.relay import Info
from schema.root_causes import Analyses
from schema.root_fields import ANYBODY, mutation
from schema.scalars import Upload
from schema.training import TrainingRun, TrainModelInput, TrainResult
from schema.types import Anomaly, Detection, Link, Network, RecordedMetrics, RejectedSample, Site, Topology

SessionResult = Annotated[Session | InvalidInput | InvalidCredentials | Conflict, strawberry.union("SessionResult")]
UserResult = Annotated[User | InvalidInput | NotFound | Forbidden | Conflict, strawberry.union("UserResult")]
UserPasswordResult = Annotated[
    UserPassword | InvalidInput | NotFound | Forbidden | Conflict, strawberry.union("UserPasswordResult")
]
ApiKeyResult = Annotated[CreatedApiKey | InvalidInput | Forbidden, strawberry.union("ApiKeyResult")]
TopologyResult = Annotated[Topology | InvalidInput | Forbidden, strawberry.union("TopologyResult")]
RecordResult = Annotated[RecordedMetrics | InvalidInput | Forbidden, strawberry.union("RecordResult")]
DetectResult = Annotated[Detection | InvalidInput | NotFound | Forbidden, strawberry.union("DetectResult")]
AnomalyResult = Annotated[Anomaly | NotFound | Forbidden | Conflict, strawberry.union("AnomalyResult")]


def _session(signed_in: SignedIn) -> Session:
    return Session(
        access_token=signed_in.access_token,
        refresh_token=signed_in.refresh_token,
        token_type="Bearer",  # noqa: S106  RFC 6750's name of it
        expires_at=signed_in.expires_at,
        user=User.own(signed_in.user),
    )


def _password(given: GivenPassword) -> UserPassword:
    return UserPassword(user=User.of(given.user), password=given.password)


def _recorded(recorded: RecordedBatch) -> RecordedMetrics:
    return RecordedMetrics(
        accepted=recorded.accepted,
        duplicates=recorded.duplicates,
        rejected_count=recorded.rejected_count,
        rejected=[RejectedSample(row=r.row, reason=r.reason) for r in recorded.rejected],
        anomalies=[Anomaly.of(row) for row in recorded.anomalies],
    )


async def _record_samples(info: Info, kind: TargetKind, samples: list[Any]) -> RecordedMetrics:
    return _recorded(await metrics.record(info.context, kind, frame_of_samples(kind, samples)))


async def _record_columns(info: Info, kind: TargetKind, columns: object) -> RecordedMetrics:
    return _recorded(await metrics.record(info.context, kind, frame_of_columns(kind, columns)))


@strawberry.type
class Mutation(Analyses, Advice):
    @mutation(
        ANYBODY,
        description="Creates an account for you and signs you in. The first user becomes ADMIN, later ones VIEWER. If"
        " registration is closed (the setting REGISTRATION; the default in production), only the first admin can"
        " register, with the token that the server logs when it starts. Everybody else gets the error FORBIDDEN.",
    )
    async def register(self, info: Info, input: RegisterInput) -> SessionResult:
        given = input.email, input.password, input.full_name, input.token
        return _session(await accounts.register(info.context, *given))

    @mutation(ANYBODY, description="Signs you in.")
    async def login(self, info: Info, input: LoginInput) -> SessionResult:
        return _session(await accounts.login(info.context, input.email, input.password))

    @mutation(
        ANYBODY,
        description="Exchanges a refresh token for a new session. A refresh token works once: using it again ends the"
        " session for good, as it may have been stolen.",
    )
    async def refresh_session(self, info: Info, refresh_token: str) -> SessionResult:
        return _session(await sessions.refresh(info.context, refresh_token))

    @mutation(
        ANYBODY,
        description="Ends the session of this refresh token and its open connections. No error if there is none.",
    )
    async def logout(self, info: Info, refresh_token: str) -> LoggedOut:
        return LoggedOut(at=await sessions.logout(info.context, refresh_token))

    @mutation(
        Role.VIEWER,
        description="Changes your password, ends all your sessions and starts a new one. Your API keys stay valid"
        " unless `revokeApiKeys` is true. An API key cannot do this.",
    )
    async def change_password(
        self, info: Info, current: str, new: str, revoke_api_keys: bool | None = False
    ) -> SessionResult:
        changed = await accounts.change_password(info.context, current, new, revoke_keys=bool(revoke_api_keys))
        return _session(changed)

    @mutation(
        Role.ADMIN,
        description="For admins. Changes a user's name or role, or deactivates them, with immediate effect."
        " Deactivating a user ends their sessions and revokes their API keys for good. An API key cannot do this.",
    )
    async def update_user(self, info: Info, input: UpdateUserInput) -> UserResult:
        key = User.key(input.id)
        user = await users.update_user(info.context, key, input.full_name, input.role, input.is_active)
        return User.of(user)

    @mutation(
        Role.ADMIN,
        description="For admins. Creates an account for somebody else. The server chooses the password and shows it"
        " only this once. An API key cannot do this.",
    )
    async def create_user(self, info: Info, input: CreateUserInput) -> UserPasswordResult:
        role = input.role or Role.VIEWER
        return _password(await users.create_user(info.context, input.email, input.full_name, role))

    @mutation(
        Role.ADMIN,
        description="For admins. Gives a user a new password, which the server chooses and shows only this once. Ends"
        " their sessions and revokes their API keys. An API key cannot do this.",
    )
    async def reset_password(self, info: Info, user: ID) -> UserPasswordResult:
        return _password(await users.reset_password(info.context, User.key(user)))

    @mutation(
        Role.VIEWER,
        description="Creates an API key with your own role or a lower one. You can have 50 active keys (the setting"
        " API_KEYS_PER_USER). They are revoked for good if you are deactivated. An API key cannot do this.",
    )
    async def create_api_key(
        self, info: Info, name: str, role: Role, expires_at: datetime | None = None
    ) -> ApiKeyResult:
        created = await api_keys.create(info.context, name, role, expires_at)
        return CreatedApiKey(api_key=ApiKey.of(created.api_key), secret=created.secret)

    @mutation(
        Role.VIEWER,
        description="Revokes one of your API keys; admins can revoke anybody's. No error if it is revoked already. An"
        " API key cannot do this.",
    )
    async def revoke_api_key(self, info: Info, id: ID) -> ApiKey | None:
        return ApiKey.of(await api_keys.revoke(info.context, ApiKey.key(id)))

    @mutation(
        Role.ADMIN,
        description="For admins. Creates or updates satellites, sites, networks and links. Nothing changes if any"
        " entry is invalid.",
    )
    async def upsert_topology(self, info: Info, input: TopologyInput) -> TopologyResult:
        spec = await asyncio.to_thread(topology_spec, input)
        return Topology(**vars(await topology.upsert(info.context, spec)))

    @mutation(Role.OPERATOR, description="Stores measurements of networks and looks for anomalies in them.")
    async def record_network_metrics(self, info: Info, samples: Batch[NetworkSampleInput]) -> RecordResult:
        return await _record_samples(info, TargetKind.NETWORK, [*samples])

    @mutation(Role.OPERATOR, description="Stores measurements of sites and looks for anomalies in them.")
    async def record_site_metrics(self, info: Info, samples: Batch[SiteSampleInput]) -> RecordResult:
        return await _record_samples(info, TargetKind.SITE, [*samples])

    @mutation(Role.OPERATOR, description="Stores measurements of links and looks for anomalies in them.")
    async def record_link_metrics(self, info: Info, samples: Batch[LinkSampleInput]) -> RecordResult:
        return await _record_samples(info, TargetKind.LINK, [*samples])

    @mutation(Role.OPERATOR, description="The same as `recordNetworkMetrics`, with columns instead of a list. Faster.")
    async def record_network_columns(self, info: Info, columns: NetworkColumns) -> RecordResult:
        return await _record_columns(info, TargetKind.NETWORK, columns)

    @mutation(Role.OPERATOR, description="The same as `recordSiteMetrics`, with columns instead of a list. Faster.")
    async def record_site_columns(self, info: Info, columns: SiteColumns) -> RecordResult:
        return await _record_columns(info, TargetKind.SITE, columns)

    @mutation(Role.OPERATOR, description="The same as `recordLinkMetrics`, with columns instead of a list. Faster.")
    async def record_link_columns(self, info: Info, columns: LinkColumns) -> RecordResult:
        return await _record_columns(info, TargetKind.LINK, columns)

    @mutation(
        Role.OPERATOR,
        description="Records samples from a CSV or Parquet file. Its columns are named like the fields of the sample"
        " input of this kind. The file is stored in batches: after a failure the earlier batches stay, and you can"
        " send the file again.",
    )
    async def import_metrics(self, info: Info, kind: TargetKind, file: Upload) -> RecordResult:
        upload: Any = file
        return _recorded(await import_upload(info.context, kind, upload.filename, upload.file))

    @mutation(
        Role.OPERATOR,
        rated=True,
        description="Tells whether one set of measurements of a network is anomalous. If so, and the network is given,"
        " it opens an anomaly, unless one is open already.",
    )
    async def detect_network_anomaly(self, info: Info, input: DetectNetworkInput) -> DetectResult:
        target = None if input.network is None else Network.key(input.network)
        values = measurements(TargetKind.NETWORK, input)
        found = await detection.detect(info.context, TargetKind.NETWORK, values, target, None, input.sensitivity)
        return Detection.of(found)

    @mutation(
        Role.OPERATOR,
        rated=True,
        description="Tells whether one set of measurements of a site is anomalous. If so, and the site is given, it"
        " opens an anomaly, unless one is open already.",
    )
    async def detect_site_anomaly(self, info: Info, input: DetectSiteInput) -> DetectResult:
        target = None if input.site is None else Site.key(input.site)
        values = measurements(TargetKind.SITE, input)
        found = await detection.detect(info.context, TargetKind.SITE, values, target, None, input.sensitivity)
        return Detection.of(found)

    @mutation(
        Role.OPERATOR,
        rated=True,
        description="Tells whether one set of measurements of a link is anomalous. If so, and the link is given, it"
        " opens an anomaly, unless one is open already.",
    )
    async def detect_link_anomaly(self, info: Info, input: DetectLinkInput) -> DetectResult:
        target = None if input.link is None else Link.key(input.link)
        values = measurements(TargetKind.LINK, input)
        found = await detection.detect(
            info.context, TargetKind.LINK, values, target, input.direction, input.sensitivity
        )
        return Detection.of(found)

    @mutation(Role.OPERATOR, description="Takes an open anomaly, so that your colleagues know that you work on it.")
    async def acknowledge_anomaly(self, info: Info, id: ID, note: Note = None) -> AnomalyResult:
        return Anomaly.of(await anomalies.acknowledge(info.context, Anomaly.key(id, UUID), note))

    @mutation(
        Role.OPERATOR,
        description="Ends an anomaly by hand. A new one opens if the target still does not behave as usual.",
    )
    async def resolve_anomaly(self, info: Info, id: ID, note: Note = None) -> AnomalyResult:
        return Anomaly.of(await anomalies.resolve(info.context, Anomaly.key(id, UUID), note))

    @mutation(
        Role.OPERATOR,
        description="Records whether an anomaly was a real fault. The next training learns from it. A later verdict"
        " replaces an earlier one.",
    )
    async def judge_anomaly(self, info: Info, id: ID, verdict: Verdict, note: Note = None) -> AnomalyResult:
        return Anomaly.of(await anomalies.judge(info.context, Anomaly.key(id, UUID), verdict, note))

    @mutation(
        Role.ADMIN,
        rated=True,
        description="For admins. Trains a new version of a model in the background; follow it with `trainingProgress`."
        " The first version of a model is put into use at once, a later one with `promoteModel`.",
    )
    async def train_model(self, info: Info, input: TrainModelInput) -> TrainResult:
        return TrainingRun.of(await training.start(info.context, input.model, input.period, input.version))

    @mutation(
        Role.ADMIN,
        description="For admins. Puts a model version into use. Gives Conflict if it does worse than the version in"
        " use; `force` promotes it all the same.",
    )
    async def promote_model(
        self, info: Info, version: ID, force: bool | None = False, note: Note = None
    ) -> ModelVersionResult:
        key = ModelVersion.key(version)
        return ModelVersion.of(await models.promote(info.context, key, force=bool(force), note=note))

    @mutation(
        Role.ADMIN, description="For admins. Puts the version back into use that was in use before the current one."
    )
    async def rollback_model(self, info: Info, model: Name, note: Note = None) -> ModelVersionResult:
        return ModelVersion.of(await models.rollback(info.context, model, note))

    @mutation(
        Role.ADMIN,
        description="For admins. Adds a version from the zip file of `exportModel`, as a candidate. No error if it is"
        " here already.",
    )
    async def import_model(self, info: Info, file: Upload) -> ImportModelResult:
        upload: Any = file
        return ModelVersion.of(await model_files.import_zip(info.context, upload.file))

    @mutation(
        Role.ADMIN,
        description="For admins. Sets how readily anomalies are reported for a kind of target. It applies to samples"
        " recorded from now on.",
    )
    async def set_sensitivity(self, info: Info, kind: TargetKind, value: float) -> SensitivityResult:
        return Sensitivity.of(await sensitivity.set_sensitivity(info.context, kind, value))
