"""Deletes expired items every hour, as DynamoDB does on AWS, because the embedded store only keeps the setting; events
of background responses, kept answers, what workers keep of batches, and parts of uploads, as the bucket's lifecycle
does; copies of the bucket's indexes, of which another machine may have deleted the account (ADR 109); and stores that
an upgrade kept (ADR 117)."""

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sluice import settings
from sluice.adapters.aws.dynamo import ConditionFailed
from sluice.adapters.aws.model_store import bound, reading, write
from sluice.adapters.aws.models import TABLES
from sluice.adapters.aws.tables import expiry
from sluice.adapters.documents.blobs_folder import BUCKET
from sluice.domain.batches import PROGRESS_SECONDS
from sluice.domain.documents.document import UPLOAD_MS
from sluice.domain.documents.keys import PARTS, ROWS, RUNS
from sluice.domain.runs import KEPT_SECONDS

log = logging.getLogger("sluice.schedule")
EVERY_SECONDS = 3_600.0
STORES_SECONDS = 30 * 24 * 3_600
"""They hold what people have deleted since."""
PAGE_ITEMS = 500  # so that one scan holds the store for a moment only


def handler(event: dict[str, Any], context: object) -> int:
    """→ how many items were deleted. Errors: StoreUnavailable, after which some are deleted."""
    blobs = settings.common().data_dir / BUCKET
    forget(blobs / RUNS, KEPT_SECONDS)
    forget(blobs / ROWS, PROGRESS_SECONDS)
    forget(blobs / PARTS, 2 * UPLOAD_MS / 1000)
    forget(settings.common().data_dir / "indexes", KEPT_SECONDS)
    forget_stores(settings.common().data_dir / "upgrade")
    now, deleted = datetime.now(UTC), 0
    for table in TABLES:
        if expiry(table) is None:
            continue
        rows: Any = bound(table, settings.common().table_prefix)
        is_over = rows.ttl_s < now  # also the condition, so that an item whose expiry was moved or removed stays
        keys = [one.attr_name for one in rows.get_attributes().values() if one.is_hash_key or one.is_range_key]
        with reading():
            for row in rows.scan(is_over, page_size=PAGE_ITEMS, attributes_to_get=keys):
                try:
                    write(partial(row.delete, is_over))
                except ConditionFailed:
                    continue
                deleted += 1
    log.info("expired items deleted", extra={"items": deleted})
    return deleted


def forget_stores(folder: Path) -> None:
    """Delete what an upgrade kept more than STORES_SECONDS ago. None during a trial, which may need it."""
    for path in [] if (folder / "trial").exists() else folder.glob("store-*.db"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > STORES_SECONDS:
                path.unlink()


def forget(folder: Path, seconds: float) -> None:
    """Delete what is older, and the folders that are empty then."""
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        with suppress(OSError):
            if path.is_dir():
                path.rmdir()
            elif time.time() - path.stat().st_mtime > seconds:
                path.unlink()
