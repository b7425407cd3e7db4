"""Source files read again from the archive, in the order in which they came, and beside what was known then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError, IntegrityError
from pipeline.flow.ingesting import Settled, holder_ids, holders_of, settle
from pipeline.flow.rebuild.store import Store
from pipeline.flow.workspace import Workspace
from pipeline.ingest.mapping import Mapping
from pipeline.ingest.reader import Ingested, read_file
from pipeline.ingest.suggest import MappingNeeded
from pipeline.lake import archive


def read_again(ws: Workspace, scratch: Path, source: Any) -> Ingested:
    """One archived file, read as it was at ingestion. `source`: its row in the ledger.

    Raises IntegrityError, with the file's name, when it is missing, damaged, not the file of the ledger, or cannot be
    read any more.
    """
    path = scratch / "source"
    try:
        archive.extract(ws.archive, source.archive_path, path)
        mapping = None if source.mapping is None else Mapping.from_dict(source.mapping)
        read = read_file(path, mapping, now=source.ingested_at, source_file=source.name)
    except MappingNeeded as error:
        raise IntegrityError(
            f"{source.name} ({source.file_id}) cannot be read again: no mapping is recorded for it, and the columns"
            f" {', '.join(error.missing)} are missing"
        ) from error
    except (IntegrityError, ConfigError) as error:
        raise IntegrityError(f"{source.name} ({source.file_id}) cannot be read again: {error}") from error
    if (read.sha256, read.file_id) != (source.sha256, source.file_id):
        what = "mapping" if read.sha256 == source.sha256 else "content"
        raise IntegrityError(
            f"{source.name}: what is archived in {source.archive_path} has another {what} than file {source.file_id}"
        )
    return read


def settle_again(store: Store, read: Ingested, file: int, holder_types: dict[str, str]) -> Settled:
    """Compare a file with those before it, as at ingestion, and add its new rows to the store.

    `holder_types`: types of the account holders that earlier files named; those of this file are added.
    """
    mine = {holder: holder_types[holder] for holder in holder_ids(read.accepted) if holder in holder_types}
    rows = settle(read, store.known(read.accepted), mine)
    store.add_rows(rows.new, file)
    holder_types.update(holders_of(rows.new))
    return rows
