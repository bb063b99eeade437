"""The books of a running system: grants, ledger and roll-ups, read directly from its store, and where they disagree."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from infra.local.store_address import use_running_store
from sluice.adapters.gateway.grant_item import grant_from
from sluice.adapters.gateway.hot_store import record_from
from sluice.domain.gateway.admission import Grant
from sluice.domain.usage.ledger import LedgerRecord
from tests.chaos.load import Answers
from tests.e2e.system import ROOT, System
from tests.integration.gateway.admission.world import slow_client
from tests.waiting import eventually

ABANDONED_SECONDS = 100  # a lease's 30 s, the sweeper's grace of 10, and a minute for a busy machine


class Books:
    """The contents of the store."""

    def __init__(self, system: System) -> None:
        shared = system.environment.get("AWS_ENDPOINT_URL_DYNAMODB")
        environment: dict[str, str] = {"SLUICE_DATA_DIR": str(system.data_dir), "SLUICE_STORE_SOCKET": ""}
        environment |= {"AWS_ENDPOINT_URL_DYNAMODB": shared} if shared else {}
        use_running_store(environment)
        self.client = slow_client(environment["AWS_ENDPOINT_URL_DYNAMODB"], environment["SLUICE_STORE_SOCKET"])

    def _all(self, table: str) -> list[dict[str, Any]]:
        pages = self.client.get_paginator("scan").paginate(TableName="sluice-" + table, ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]

    def grants(self) -> list[Grant]:
        return [grant_from(item) for item in self._all("grants")]

    def held(self, account_id: str = "") -> set[tuple[str, int]]:
        """The leases (request id, epoch) of requests that wait for a stopped model, and of dead processes. They last,
        while what the model had answered before it was stopped is settled."""
        seen = self._leases(account_id)
        time.sleep(1)
        return seen & self._leases(account_id)

    def _leases(self, account_id: str) -> set[tuple[str, int]]:
        grants = [grant for grant in self.grants() if account_id in ("", grant.account_id)]
        return {(identifier, lease.epoch) for grant in grants for identifier, lease in grant.leases.items()}

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
    system.wait_until(lambda: all(record.rolled_up_ms is not None for record in books.ledger()))
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


def kill_group(system: System, name: str) -> int:
    """Kills the process and its children, because a gunicorn worker that lives on would clean up after its master."""
    pid: int = eventually(lambda: system.pids().get(name))  # it may be starting again, after another one's kill
    os.killpg(os.getpgid(pid), signal.SIGKILL)
    return pid


def each_admitted_request_has_its_one_record(all_answers: list[Answers], ledger: list[LedgerRecord]) -> None:
    recorded = {record.request_id: record for record in ledger}
    assert len(recorded) == len(ledger)
    answered = {identifier: status for one in all_answers for identifier, status in one.statuses.items()}
    missing = {identifier for identifier, status in answered.items() if status == 200} - recorded.keys()
    assert not missing, f"answered with 200 and without a record: {sorted(missing)[:5]} of {len(missing)}"
    refused = {identifier for identifier, status in answered.items() if status in (401, 429)} & recorded.keys()
    assert not refused, f"refused and yet with a record: {[recorded[identifier] for identifier in sorted(refused)[:5]]}"
    # A caller that got usage was charged exactly that usage.
    seen = {identifier: tokens for one in all_answers for identifier, tokens in one.whole_tokens.items()}
    other = [(tokens, recorded[one]) for one, tokens in sorted(seen.items()) if recorded[one].total_tokens != tokens]
    assert not other, (
        f"{len(other)} of {len(seen)} charged differently (tokens that the caller saw, record): {other[:5]}"
    )
    # Every record without an answered request belongs to a request that was killed before it was answered.
    unseen, silent = len(recorded.keys() - answered.keys()), sum(one.silent for one in all_answers)
    assert unseen <= silent, f"{unseen} records of requests without an answer, of which there were {silent}"


def summary(all_answers: list[Answers], ledger: list[LedgerRecord]) -> str:
    statuses = sorted({status for one in all_answers for status in one.statuses.values()})
    answers = ", ".join(f"{sum(one.count(status) for one in all_answers)} x {status}" for status in statuses)
    swept = sum(record.settled_by == "sweeper" for record in ledger)
    silent = sum(one.silent for one in all_answers)
    return f"answers {answers}, {silent} without; {len(ledger)} records, {swept} of them by the sweeper"


def reconciled(system: System) -> str:
    """The output of `sluice ledger reconcile`."""
    command = [str(Path(sys.executable).with_name("sluice")), "ledger", "reconcile"]
    done = subprocess.run(command, cwd=ROOT, env=system.environment, capture_output=True, text=True, timeout=300)
    assert re.search(r"\d+ accounts", done.stdout), done.stdout + done.stderr
    return done.stdout
