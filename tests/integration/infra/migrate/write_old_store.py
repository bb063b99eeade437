"""Wrote `stores/schema-1.json`; not part of the suite. It is run by a checkout of the version whose store it makes:

    git worktree add /tmp/old 3d013eb   # the first commit in which every table but `audit` was written to
    PYTHONPATH=/tmp/old/layers/core:/tmp/old:. python -m tests.integration.infra.migrate.write_old_store URL > FILE

URL is an empty store's. Everything is written by that version's own code, at the time it is run.
"""

import json
import os
import sys
import time
from typing import Any

PREFIX = "old-"
PASSWORD = "a quiet green harbour"


def main(url: str) -> None:
    os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "SLUICE_TABLE_PREFIX": PREFIX}
    from sluice import wiring
    from sluice.adapters import dynamo, tables

    client = dynamo.client()
    tables.create_missing(client, PREFIX)
    now_ms = time.time_ns() // 1_000_000
    ada = _person("ada@example.org", now_ms)
    wiring.account_store().redeem_verification(ada.account_id, ada.codes["verify_email"].mail_id, now_ms)
    _person("bob@example.org", now_ms)  # never verified
    _asked_again("nobody@example.org", now_ms)
    _used(ada.account_id, now_ms)
    _tried_to_log_in(now_ms)
    document = {
        "commit": "3d013eb",
        "prefix": PREFIX,
        "tables": [dump(client, PREFIX, one.name) for one in tables.TABLES],
    }
    json.dump(document, sys.stdout, indent=1, sort_keys=True)


def _person(email: str, now_ms: int) -> Any:
    from sluice.adapters.passwords import common_passwords
    from sluice.domain.admission import Limits
    from sluice.services.register import register

    from sluice import wiring
    from sluice.adapters.mails import DynamoMails

    register(
        email,
        PASSWORD,
        "Ada",
        accounts=wiring.account_store(),
        mails=DynamoMails(PREFIX),
        may_mail=lambda *_: True,
        hash_password=wiring.password_hashes().hash,
        common_passwords=common_passwords(),
        limits=Limits(60, 40_000, 4, 1_000_000),
        now_ms=now_ms,
    )
    return wiring.account_store().by_email(email)


def _asked_again(email: str, now_ms: int) -> None:
    from sluice.services.verify_email import resend_verification

    from sluice import wiring
    from sluice.adapters.mails import DynamoMails

    mails = DynamoMails(PREFIX)
    resend_verification(email, accounts=wiring.account_store(), mails=mails, may_mail=lambda *_: True, now_ms=now_ms)


def _used(account_id: str, now_ms: int) -> None:
    """An API token, three settled requests, one rolled up, one logged, one whose holder died; a session."""
    from sluice.domain.admission import Ask, Limits
    from sluice.domain.contents import Exchange, expires_s
    from sluice.domain.sessions import new_session
    from sluice.services.admit import Admission
    from sluice.services.settle import Outcome, settle

    from sluice import wiring
    from sluice.domain.ids import request_id
    from sluice.domain.tokens import ApiToken

    far_ms = 4_000_000_000_000  # 2096, so that no item of the fixture expires
    token = ApiToken(account_id, "tok_0ldt0ken0ldt0ken", "old laptop", "abc123", ("inference",), None, now_ms, far_ms)
    wiring.token_store().put(token)
    wiring.grant_store().add_live(account_id, token.token_id, far_ms // 1000, now_ms // 1000)
    store = wiring.hot_store()
    admission = Admission(store, Limits(60, 40_000, 4, 1_000_000))
    for place in range(4):
        ask = Ask(account_id, request_id(now_ms + place), token.token_id, 600, "demo", "chat.completions", place == 1)
        admitted = admission.admit(ask, (now_ms + place) * 1_000_000)
        if place == 3:
            break  # its holder dies here
        outcome = Outcome(200, 20 + place, 10 + place, finish_reason="stop", response_time_ms=40, ttft_ms=9)
        record, _ = settle(store, account_id, ask.request_id, admitted.lease, outcome)
        if place == 0:
            wiring.rollup_store().fold(record, now_ms)
            store.put_content(account_id, ask.request_id, Exchange("What?", "That."), now_ms, expires_s(now_ms, 36_500))
    account = wiring.account_store().get(account_id)
    wiring.session_store().put(new_session(account, hours=24 * 14, user_agent="old browser", now_ms=now_ms).session)


def _tried_to_log_in(now_ms: int) -> None:
    from sluice.domain.throttles import LOGIN_CLIENT

    from sluice import wiring

    wiring.throttles().take("login-client#192.0.2.7", LOGIN_CLIENT, now_ms)


def dump(client: Any, prefix: str, name: str) -> dict[str, Any]:
    """A table's declaration and items, in DynamoDB's own JSON."""
    told = client.describe_table(TableName=prefix + name)["Table"]
    ttl = client.describe_time_to_live(TableName=prefix + name)["TimeToLiveDescription"]
    definition = {key: told[key] for key in ("KeySchema", "AttributeDefinitions")}
    if "StreamSpecification" in told:
        definition["StreamSpecification"] = told["StreamSpecification"]
    if told.get("GlobalSecondaryIndexes"):
        wanted = ("IndexName", "KeySchema", "Projection")
        indexes = told["GlobalSecondaryIndexes"]
        definition["GlobalSecondaryIndexes"] = [{key: index[key] for key in wanted} for index in indexes]
    items = client.scan(TableName=prefix + name)["Items"]
    return {"name": name, "definition": definition, "ttl": ttl.get("AttributeName", ""), "items": items}


if __name__ == "__main__":
    main(sys.argv[1])
