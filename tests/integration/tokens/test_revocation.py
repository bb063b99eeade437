"""A revoked API token is refused on the next request, because admission reads the same grant. On a real store."""

import time
from typing import Any

import pytest

from sluice.domain.errors import InvalidApiToken
from tests.integration.accounts.world import World


def admit(issued: dict[str, Any]) -> None:
    """The gateway's own authentication: first the signature, then the grant."""
    from sluice import settings
    from sluice.domain.gateway.admission import Limits
    from sluice.services.gateway.admit import Admission
    from sluice.wiring import peers, stores

    claims = peers.token_verifier().verify(issued["token"], int(time.time()))
    defaults = settings.gateway()
    limits = Limits(
        defaults.default_rpm, defaults.default_tpm, defaults.default_concurrency, defaults.default_monthly_tokens
    )
    admission = Admission(stores.hot_store(), limits)  # a new one, as in another instance with nothing cached
    admission.check(claims.account_id, claims.token_id, time.time_ns() // 1_000_000)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/tokens/{id}/revoke"), ("DELETE", "/tokens/{id}"), ("POST", "/tokens/revoke-all")],
)
def test_every_way_to_end_a_token_takes_effect_on_the_next_request(world: World, method: str, path: str) -> None:
    headers = world.login(world.account())
    issued = world.issue(headers)
    admit(issued)
    assert world.client.open(path.format(**issued), method=method, headers=headers).status_code in (200, 204)
    with pytest.raises(InvalidApiToken, match="revoked"):
        admit(issued)


def test_another_token_of_the_account_stays_valid(world: World) -> None:
    headers = world.login(world.account())
    ended, kept = world.issue(headers), world.issue(headers)
    world.client.post(f"/tokens/{ended['id']}/revoke", headers=headers)
    admit(kept)


def test_changing_the_password_does_not_revoke_api_tokens(world: World) -> None:
    """Programs keep working; `revoke-all` ends every token if the owner wants that."""
    from tests.integration.accounts.world import PASSWORD

    headers = world.login(world.account())
    issued = world.issue(headers)
    body = {"current_password": PASSWORD, "new_password": "a whole new passphrase"}
    assert world.client.post("/auth/change-password", json=body, headers=headers).status_code == 200
    admit(issued)


def test_a_grant_with_25_live_tokens_with_long_names_is_small(world: World) -> None:
    """Names, scopes and models are stored in claims and rows; the grant holds only an id and a time for each token."""
    from sluice import settings
    from sluice.adapters.aws import dynamo

    account = world.account()
    headers = world.login(account)
    for _ in range(25):
        world.issue(headers, name="n" * 100, models=["m" * 100])
    key = {"account_id": {"S": account.account_id}}
    item = dynamo.client().get_item(TableName=settings.common().table_prefix + "grants", Key=key)["Item"]
    live = item["live"]["M"]
    assert len(live) == 26 and all(set(value) == {"N"} for value in live.values())
    # DynamoDB's own rule: name and value bytes, numbers about half their digits and one, 3 an entry of a map.
    assert sum(len(name) + 3 + 6 for name in live) < 1024
