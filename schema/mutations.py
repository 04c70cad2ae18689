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
        description="The first person to register becomes ADMIN, everyone after that VIEWER. Where registration is"
        " closed (REGISTRATION, the default in production), only the first admin may, with the token that the server"
        " logs when it starts; anybody else gets FORBIDDEN.",
    )
    async def register(self, info: Info, input: RegisterInput) -> SessionResult:
        given = input.email, input.password, input.full_name, input.token
        return _session(await accounts.register(info.context, *given))

    @mutation(ANYBODY)
    async def login(self, info: Info, input: LoginInput) -> SessionResult:
        return _session(await accounts.login(info.context, input.email, input.password))

    @mutation(ANYBODY, description="Rotates: each refresh token works once; reuse revokes the whole family.")
    async def refresh_session(self, info: Info, refresh_token: str) -> SessionResult:
        return _session(await sessions.refresh(info.context, refresh_token))

    @mutation(ANYBODY, description="Ends the refresh token's whole family, and open sockets with it.")
    async def logout(self, info: Info, refresh_token: str) -> LoggedOut:
        return LoggedOut(at=await sessions.logout(info.context, refresh_token))

    @mutation(
        Role.VIEWER,
        description="Ends all other sessions; with `revokeApiKeys` one's API keys too, which else go on, as collectors"
        " live by them. For people: API keys may not change it.",
    )
    async def change_password(
        self, info: Info, current: str, new: str, revoke_api_keys: bool | None = False
    ) -> SessionResult:
        changed = await accounts.change_password(info.context, current, new, revoke_keys=bool(revoke_api_keys))
        return _session(changed)

    @mutation(
        Role.ADMIN,
        description="For admins, signed in as themselves; takes effect at once. Who is deactivated loses their"
        " sessions and API keys for good.",
    )
    async def update_user(self, info: Info, input: UpdateUserInput) -> UserResult:
        key = User.key(input.id)
        user = await users.update_user(info.context, key, input.full_name, input.role, input.is_active)
        return User.of(user)

    @mutation(
        Role.ADMIN,
        description="For admins, signed in as themselves. Makes an account with a password of the server's choice,"
        " which is shown this once; its owner changes it with `changePassword`.",
    )
    async def create_user(self, info: Info, input: CreateUserInput) -> UserPasswordResult:
        role = input.role or Role.VIEWER
        return _password(await users.create_user(info.context, input.email, input.full_name, role))

    @mutation(
        Role.ADMIN,
        description="For admins, signed in as themselves. Gives somebody a new password of the server's choice, which"
        " is shown this once. Ends their sessions and revokes their API keys.",
    )
    async def reset_password(self, info: Info, user: ID) -> UserPasswordResult:
        return _password(await users.reset_password(info.context, User.key(user)))

    @mutation(
        Role.VIEWER,
        description="With one's own role at most; at most 50 active ones (API_KEYS_PER_USER). API keys may neither make"
        " nor revoke keys. They end with their owner's deactivation, for good.",
    )
    async def create_api_key(
        self, info: Info, name: str, role: Role, expires_at: datetime | None = None
    ) -> ApiKeyResult:
        created = await api_keys.create(info.context, name, role, expires_at)
        return CreatedApiKey(api_key=ApiKey.of(created.api_key), secret=created.secret)

    @mutation(Role.VIEWER)
    async def revoke_api_key(self, info: Info, id: ID) -> ApiKey | None:
        return ApiKey.of(await api_keys.revoke(info.context, ApiKey.key(id)))

    @mutation(Role.ADMIN, description="For admins. All or nothing.")
    async def upsert_topology(self, info: Info, input: TopologyInput) -> TopologyResult:
        spec = await asyncio.to_thread(topology_spec, input)
        return Topology(**vars(await topology.upsert(info.context, spec)))

    @mutation(Role.OPERATOR)
    async def record_network_metrics(self, info: Info, samples: Batch[NetworkSampleInput]) -> RecordResult:
        return await _record_samples(info, TargetKind.NETWORK, [*samples])

    @mutation(Role.OPERATOR)
    async def record_site_metrics(self, info: Info, samples: Batch[SiteSampleInput]) -> RecordResult:
        return await _record_samples(info, TargetKind.SITE, [*samples])

    @mutation(Role.OPERATOR)
    async def record_link_metrics(self, info: Info, samples: Batch[LinkSampleInput]) -> RecordResult:
        return await _record_samples(info, TargetKind.LINK, [*samples])

    @mutation(Role.OPERATOR)
    async def record_network_columns(self, info: Info, columns: NetworkColumns) -> RecordResult:
        return await _record_columns(info, TargetKind.NETWORK, columns)

    @mutation(Role.OPERATOR)
    async def record_site_columns(self, info: Info, columns: SiteColumns) -> RecordResult:
        return await _record_columns(info, TargetKind.SITE, columns)

    @mutation(Role.OPERATOR)
    async def record_link_columns(self, info: Info, columns: LinkColumns) -> RecordResult:
        return await _record_columns(info, TargetKind.LINK, columns)

    @mutation(
        Role.OPERATOR,
        description="CSV or Parquet, its columns named like the sample input's fields. In batches: what was recorded"
        " before a failure stays, and sending the file again is safe.",
    )
    async def import_metrics(self, info: Info, kind: TargetKind, file: Upload) -> RecordResult:
        upload: Any = file
        return _recorded(await import_upload(info.context, kind, upload.filename, upload.file))

    @mutation(Role.OPERATOR, rated=True)
    async def detect_network_anomaly(self, info: Info, input: DetectNetworkInput) -> DetectResult:
        target = None if input.network is None else Network.key(input.network)
        values = measurements(TargetKind.NETWORK, input)
        found = await detection.detect(info.context, TargetKind.NETWORK, values, target, None, input.sensitivity)
        return Detection.of(found)

    @mutation(Role.OPERATOR, rated=True)
    async def detect_site_anomaly(self, info: Info, input: DetectSiteInput) -> DetectResult:
        target = None if input.site is None else Site.key(input.site)
        values = measurements(TargetKind.SITE, input)
        found = await detection.detect(info.context, TargetKind.SITE, values, target, None, input.sensitivity)
        return Detection.of(found)

    @mutation(Role.OPERATOR, rated=True)
    async def detect_link_anomaly(self, info: Info, input: DetectLinkInput) -> DetectResult:
        target = None if input.link is None else Link.key(input.link)
        values = measurements(TargetKind.LINK, input)
        found = await detection.detect(
            info.context, TargetKind.LINK, values, target, input.direction, input.sensitivity
        )
        return Detection.of(found)

    @mutation(Role.OPERATOR, description="Tell colleagues you are on it.")
    async def acknowledge_anomaly(self, info: Info, id: ID, note: Note = None) -> AnomalyResult:
        return Anomaly.of(await anomalies.acknowledge(info.context, Anomaly.key(id, UUID), note))

    @mutation(Role.OPERATOR, description="Close it by hand.")
    async def resolve_anomaly(self, info: Info, id: ID, note: Note = None) -> AnomalyResult:
        return Anomaly.of(await anomalies.resolve(info.context, Anomaly.key(id, UUID), note))

    @mutation(Role.OPERATOR, description="Say whether it was real; the next training learns from it.")
    async def judge_anomaly(self, info: Info, id: ID, verdict: Verdict, note: Note = None) -> AnomalyResult:
        return Anomaly.of(await anomalies.judge(info.context, Anomaly.key(id, UUID), verdict, note))

    @mutation(
        Role.ADMIN,
        rated=True,
        description="For admins. In the background: follow `trainingProgress`. It brings a candidate; the first version"
        " of a model serves at once, others when `promoteModel` says so.",
    )
    async def train_model(self, info: Info, input: TrainModelInput) -> TrainResult:
        return TrainingRun.of(await training.start(info.context, input.model, input.period, input.version))

    @mutation(
        Role.ADMIN,
        description="For admins. Makes it the champion, in every process at once. Refused where it measures worse than"
        " the present one, unless forced.",
    )
    async def promote_model(
        self, info: Info, version: ID, force: bool | None = False, note: Note = None
    ) -> ModelVersionResult:
        key = ModelVersion.key(version)
        return ModelVersion.of(await models.promote(info.context, key, force=bool(force), note=note))

    @mutation(
        Role.ADMIN, description="For admins. Back to the champion before the present one, in every process at once."
    )
    async def rollback_model(self, info: Info, model: Name, note: Note = None) -> ModelVersionResult:
        return ModelVersion.of(await models.rollback(info.context, model, note))

    @mutation(
        Role.ADMIN,
        description="For admins. A version exported elsewhere, as its zip; it becomes a candidate. Again is no error.",
    )
    async def import_model(self, info: Info, file: Upload) -> ImportModelResult:
        upload: Any = file
        return ModelVersion.of(await model_files.import_zip(info.context, upload.file))

    @mutation(Role.ADMIN, description="For admins. For all that is scored from now on.")
    async def set_sensitivity(self, info: Info, kind: TargetKind, value: float) -> SensitivityResult:
        return Sensitivity.of(await sensitivity.set_sensitivity(info.context, kind, value))
