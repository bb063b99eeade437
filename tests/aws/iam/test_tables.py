"""The calls that each function makes to the tables during the integration tests equal those that its role allows.

A call that is not allowed would be a 503 on AWS, and an action that is not used should not be allowed. These tests run
the suites, unless a `make test` beside them writes the record that IAM_RECORD names (as in .ci/run).
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.aws.iam.policies import allowed
from tests.aws.iam.recorder import DONE, SUITES, VARIABLE
from tests.unit.aws.template import ROOT

SECONDS = 1500
Use = tuple[str, str, str]
# Calls that a test makes through a service or an adapter, but that a function makes on AWS.
SETTLED_BY_TWO = {(name, "GetItem", "ledger") for name in ("gateway", "sweeper", "files", "ingestion", "search")}
COUNTED_EMBEDDINGS = {
    (name, *call)
    for name in ("ingestion", "search", "files")
    for call in (("GetItem", "grants"), ("UpdateItem", "grants"), ("PutItem", "ledger"))
}
LEFT_BY_A_DELETION_THAT_BROKE_OFF = {
    *(
        ("sweeper", "BatchWriteItem", name)
        for name in ("contents", "documents", "mails", "rollups", "sessions", "tokens", "webhooks")
    ),
    ("sweeper", "DeleteItem", "accounts"),
    ("sweeper", "UpdateItem", "audit"),
    ("accounts", "BatchWriteItem", "documents"),
    ("accounts", "BatchWriteItem", "webhooks"),
    ("accounts", "UpdateItem", "audit"),
}
DOCUMENTS = {
    *(("ingestion", each, "documents") for each in ("DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem")),
    ("ingestion", "Query", "documents/index/pending"),
    ("search", "BatchGetItem", "documents"),
    ("files", "BatchGetItem", "documents"),
}
OF_A_PAID_UPSTREAM = {(name, "UpdateItem", "throttles") for name in ("ingestion", "search")}
BEHIND_A_THROTTLE = {
    ("admin", each, "throttles") for each in ("GetItem", "UpdateItem")
}  # the pages' tests switch it off
# An import that broke off is taken back (sluice/services/chats/chats.py).
LEFT_BY_AN_IMPORT_THAT_BROKE_OFF = {("files", "BatchWriteItem", "contents")}
NOT_SEEN: set[Use] = (
    LEFT_BY_AN_IMPORT_THAT_BROKE_OFF
    | OF_A_PAID_UPSTREAM
    | BEHIND_A_THROTTLE
    | SETTLED_BY_TWO
    | COUNTED_EMBEDDINGS
    | LEFT_BY_A_DELETION_THAT_BROKE_OFF
    | DOCUMENTS
)
# Asked on one machine only: sluice/pages/home.py looks whether anybody has an account yet.
NOT_ON_AWS: set[Use] = {("web", "Scan", "accounts")}


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> set[Use]:
    if os.environ.get(VARIABLE):
        return _told_by(Path(os.environ[VARIABLE]))
    record = tmp_path_factory.mktemp("iam") / "calls.json"
    folders = [ROOT / "tests" / "integration" / name for name in SUITES]
    words: list[str | Path] = [sys.executable, "-m", "pytest", "-q", "-p", "tests.aws.iam.recorder"]
    done = subprocess.run(
        [*words, *(folder for folder in folders if folder.is_dir())],
        cwd=ROOT,
        env={**os.environ, VARIABLE: str(record)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert record.is_file(), done.stdout[-3000:] + done.stderr[-3000:]
    return _read(record)


def _told_by(record: Path) -> set[Use]:
    until = time.monotonic() + SECONDS
    while not record.with_suffix(DONE).exists():
        assert time.monotonic() < until, f"the run beside this one has not ended within {SECONDS} s"
        time.sleep(1)
    return _read(record)


def _read(record: Path) -> set[Use]:
    parts = [record, *record.parent.glob(f"{record.name}.gw*")]
    found = {
        (function, action, resource) for part in parts for function, action, resource in json.loads(part.read_text())
    }
    assert len(found) > 80, sorted(found)
    return found


@pytest.mark.timeout(SECONDS + 60)
def test_every_recorded_call_is_allowed_by_its_functions_policy(used: set[Use]) -> None:
    assert sorted(used - allowed() - NOT_ON_AWS) == []


@pytest.mark.timeout(SECONDS + 60)
def test_every_allowed_action_is_needed_by_a_recorded_call(used: set[Use]) -> None:
    """But for the settings: in this run one process reads them for all functions, each few seconds."""
    settings = {use for use in allowed() if use[1:] == ("Query", "settings")}
    assert sorted(allowed() - used - NOT_SEEN - settings) == []
