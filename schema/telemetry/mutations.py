"""Mutations that record samples."""

from typing import Annotated, Any

import strawberry

from ml.catalogue.metrics import TargetKind
from resolvers.telemetry import mappings, recording
from resolvers.telemetry.file_import import Tally, import_upload
from resolvers.telemetry.recording import RecordedBatch
from schema.directives import Batch
from schema.enums import Role
from schema.problems import Forbidden, InvalidInput, NotFound
from schema.relay import Info, Node
from schema.root_fields import mutation
from schema.scalars import Upload
from schema.telemetry.columns import LinkColumns, NetworkColumns, SiteColumns, columns_to_frame
from schema.telemetry.imports import ImportedColumn, ImportMapping, ImportMappingInput, ImportOptions
from schema.telemetry.samples import LinkSampleInput, NetworkSampleInput, SiteSampleInput, samples_to_frame
from schema.telemetry.types import LeftOutCells, RecordedMetrics, RejectedSample

Replace = Annotated[
    bool,
    strawberry.argument(
        description="Overwrite stored values with those that are sent. Only an ADMIN may. If false, a stored value"
        " stays, and what is null is filled in."
    ),
]
RecordResult = Annotated[RecordedMetrics | InvalidInput | Forbidden, strawberry.union("RecordResult")]
ImportMappingResult = Annotated[ImportMapping | InvalidInput | Forbidden, strawberry.union("ImportMappingResult")]
DeletedImportMappingResult = Annotated[
    ImportMapping | NotFound | Forbidden, strawberry.union("DeletedImportMappingResult")
]


def _to_recorded_metrics(recorded: RecordedBatch, tally: Tally | None = None) -> RecordedMetrics:
    """tally: what was understood of a file, if the samples came in one."""
    return RecordedMetrics(
        accepted=recorded.accepted,
        duplicates=recorded.duplicates,
        rejected_count=recorded.rejected_count,
        rejected=[RejectedSample(row=r.row, line=r.line, reason=r.reason) for r in recorded.rejected],
        merged=recorded.merged,
        conflicting=recorded.conflicting,
        replaced=recorded.replaced,
        left_out_count=recorded.left_out_count,
        left_out=[LeftOutCells(**vars(cells)) for cells in recorded.left_out],
        anomalies=[Node.find_type("Anomaly").from_row(row) for row in recorded.anomalies],
        rows=tally.rows if tally else recorded.accepted + recorded.duplicates + recorded.rejected_count,
        columns=[ImportedColumn.from_counted(column) for column in tally.columns] if tally else [],
        ignored_columns=tally.report.columns.ignored if tally else [],
        warnings=tally.warnings if tally else [],
    )


async def _record_samples(info: Info, kind: TargetKind, samples: list[Any], replace: Replace) -> RecordedMetrics:
    frame = samples_to_frame(kind, samples)
    return _to_recorded_metrics(await recording.record(info.context, kind, frame, replace=replace))


async def _record_columns(info: Info, kind: TargetKind, columns: object, replace: Replace) -> RecordedMetrics:
    frame = columns_to_frame(kind, columns)
    return _to_recorded_metrics(await recording.record(info.context, kind, frame, replace=replace))


@strawberry.type
class TelemetryMutations:
    @mutation(Role.OPERATOR, description="Stores measurements of networks and looks for anomalies in them.")
    async def record_network_metrics(
        self, info: Info, samples: Batch[NetworkSampleInput], replace: Replace = False
    ) -> RecordResult:
        return await _record_samples(info, TargetKind.NETWORK, [*samples], replace)

    @mutation(Role.OPERATOR, description="Stores measurements of sites and looks for anomalies in them.")
    async def record_site_metrics(
        self, info: Info, samples: Batch[SiteSampleInput], replace: Replace = False
    ) -> RecordResult:
        return await _record_samples(info, TargetKind.SITE, [*samples], replace)

    @mutation(Role.OPERATOR, description="Stores measurements of links and looks for anomalies in them.")
    async def record_link_metrics(
        self, info: Info, samples: Batch[LinkSampleInput], replace: Replace = False
    ) -> RecordResult:
        return await _record_samples(info, TargetKind.LINK, [*samples], replace)

    @mutation(Role.OPERATOR, description="The same as `recordNetworkMetrics`, with columns instead of a list. Faster.")
    async def record_network_columns(
        self, info: Info, columns: NetworkColumns, replace: Replace = False
    ) -> RecordResult:
        return await _record_columns(info, TargetKind.NETWORK, columns, replace)

    @mutation(Role.OPERATOR, description="The same as `recordSiteMetrics`, with columns instead of a list. Faster.")
    async def record_site_columns(self, info: Info, columns: SiteColumns, replace: Replace = False) -> RecordResult:
        return await _record_columns(info, TargetKind.SITE, columns, replace)

    @mutation(Role.OPERATOR, description="The same as `recordLinkMetrics`, with columns instead of a list. Faster.")
    async def record_link_columns(self, info: Info, columns: LinkColumns, replace: Replace = False) -> RecordResult:
        return await _record_columns(info, TargetKind.LINK, columns, replace)

    @mutation(
        Role.OPERATOR,
        description="Records samples from a CSV or Parquet file. Its columns are named like the fields of the sample"
        " input of this kind, in any spelling, unless `options` say which is which. The file is stored in batches:"
        " after a failure the earlier batches stay, and you can send the file again.",
    )
    async def import_metrics(
        self, info: Info, kind: TargetKind, file: Upload, options: ImportOptions | None = None, replace: Replace = False
    ) -> RecordResult:
        upload: Any = file
        said = (options or ImportOptions()).to_options(overwrite=replace)
        imported = await import_upload(info.context, kind, upload.filename, upload.file, said)
        return _to_recorded_metrics(imported.recorded, imported.tally)

    @mutation(Role.OPERATOR, description="Saves which columns of files are which of ours, for `ImportOptions.mapping`.")
    async def save_import_mapping(self, info: Info, input: ImportMappingInput) -> ImportMappingResult:
        saved = await mappings.save_mapping(info.context, input.kind, input.name, input.to_options())
        return ImportMapping.from_row(saved)

    @mutation(Role.OPERATOR, description="Deletes a saved mapping. Files that were imported stay as they are.")
    async def delete_import_mapping(self, info: Info, kind: TargetKind, name: str) -> DeletedImportMappingResult:
        return ImportMapping.from_row(await mappings.delete_mapping(info.context, kind, name))
