"""The books of a running system: grants, ledger and roll-ups, read directly from its store, and where they disagree."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from infra.local.store_address import use_running_store
from sluice.adapters.gateway.grant_item import grant_from
from sluice.adapters.gateway.hot_store import record_from
from sluice.domain.gateway.admission import Grant
from sluice.domain.usage.ledger import LedgerRecord
from tests.e2e.system import ROOT, System
from tests.integration.gateway.admission.world import slow_client

ABANDONED_SECONDS = 40  # a lease's lifetime plus the time until the sweeper settles it


class Books:
    """The contents of the store."""

    def __init__(self, system: System) -> None:
        environment: dict[str, str] = {"SLUICE_DATA_DIR": str(system.data_dir)}
        use_running_store(environment)
        self.client = slow_client(environment["AWS_ENDPOINT_URL_DYNAMODB"], environment["SLUICE_STORE_SOCKET"])

    def _all(self, table: str) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("scan").paginate(TableName="sluice-" + table, ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]

    def grants(self) -> list[Grant]:
        return [grant_from(item) for item in self._all("grants")]

    def ledger(self) -> list[LedgerRecord]:
        return [record_from(item) for item in self._all("ledger")]

    def rolled_up(self) -> dict[str, list[int]]:
        """For each account: requests, prompt tokens and completion tokens of all its roll-ups."""
        sums: dict[str, list[int]] = {}
        for item in self._all("rollups"):
            if item["bucket"]["S"].startswith("refusals#"):
                continue
            kept = sums.setdefault(item["account_id"]["S"], [0, 0, 0])
            for place, name in enumerate(("requests", "prompt_tokens", "completion_tokens")):
                kept[place] += int(item[name]["N"])
        return sums


def settled(system: System, sweep_seconds: float) -> Books:
    """The books, once no lease is left and each record is rolled up."""
    books = Books(system)
    system.wait_until(lambda: not any(grant.leases for grant in books.grants()), ABANDONED_SECONDS + 6 * sweep_seconds)
    system.wait_until(lambda: all(record.rolled_up_ms is not None for record in books.ledger()), 30)
    return books


def disagreements(ledger: list[LedgerRecord], grants: list[Grant], sums: dict[str, list[int]]) -> list[str]:
    """Accounts whose grant or roll-ups differ from their ledger records, leases, and records that exist twice."""
    found = ["a request has two records"] * (len({record.request_id for record in ledger}) != len(ledger))
    for grant in grants:
        own = [record for record in ledger if record.account_id == grant.account_id]
        if grant.period_tokens != (spent := sum(record.total_tokens for record in own)):
            found.append(f"{grant.account_id}: the grant says {grant.period_tokens} tokens, the ledger {spent}")
        prompt, completion = (sum(getattr(r, f"{kind}_tokens") for r in own) for kind in ("prompt", "completion"))
        if sums.get(grant.account_id, [0, 0, 0]) != [len(own), prompt, completion]:
            found.append(f"{grant.account_id}: the roll-ups differ from the ledger")
        found += [f"{grant.account_id}: a lease is left"] * bool(grant.leases)
    return found


def reconciled(system: System) -> str:
    """The output of `sluice ledger reconcile`."""
    command = [str(Path(sys.executable).with_name("sluice")), "ledger", "reconcile"]
    done = subprocess.run(command, cwd=ROOT, env=system.environment, capture_output=True, text=True, timeout=60)
    assert re.search(r"\d+ accounts", done.stdout), done.stdout + done.stderr
    return done.stdout
