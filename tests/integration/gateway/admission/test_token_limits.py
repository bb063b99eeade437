"""Limits of API tokens on the grant's slow side: set, changed, shared by a rotated one, gone with the last one."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from sluice.adapters.gateway.grant_item import family_key
from sluice.adapters.gateway.grants import DynamoGrants
from sluice.domain import errors
from sluice.domain.gateway.admission import TokenLimits
from sluice.domain.gateway.grants import PLAYGROUND
from sluice.services.gateway.admit import Admission
from tests.integration.gateway.admission.world import (
    DEFAULTS,
    NOW_NS,
    NOW_S,
    TOKEN,
    Account,
)

OLD, NEW, OTHER = "tok_old0000000000000", "tok_new0000000000000", "tok_other00000000000"
FEW = TokenLimits(rpm=2, monthly_micro_usd=5)
LATER_S = NOW_S + 9_000


def _admit(account: Account, token_id: str, family: str = "") -> None:
    Admission(account.store, DEFAULTS).admit(replace(account.ask(1, token_id=token_id), family=family), NOW_NS)


def test_limits_of_a_new_api_token_are_in_force_and_told(account: Account, grants: DynamoGrants) -> None:
    grants.add_live(account.id, OLD, LATER_S, NOW_S, 0, FEW)
    assert grants.live_with_limits(account.id)[1] == {OLD: FEW}
    _admit(account, OLD)
    _admit(account, OLD)
    with pytest.raises(errors.RateLimitExceeded, match="This API token's limit of 2 requests a minute"):
        _admit(account, OLD)
    _admit(account, TOKEN)  # another API token of the account


def test_a_rotated_api_token_shares_the_counters(account: Account, grants: DynamoGrants) -> None:
    grants.add_live(account.id, OLD, LATER_S, NOW_S, 0, FEW)
    _admit(account, OLD)
    grants.add_live(account.id, NEW, LATER_S, NOW_S, 0, FEW, OLD)
    _admit(account, NEW, OLD)
    for token_id in (OLD, NEW):
        with pytest.raises(errors.RateLimitExceeded, match="This API token's"):
            _admit(account, token_id, OLD)
    grants.remove_live(account.id, OLD)
    assert grants.live_with_limits(account.id)[1] == {OLD: FEW}  # the family lives on
    with pytest.raises(errors.RateLimitExceeded, match="This API token's"):
        _admit(account, NEW, OLD)
    grants.remove_live(account.id, NEW)
    assert (account.raw()["tl"], account.raw()["tf"]) == ({"M": {}}, {"M": {}})


def test_a_changed_limit_is_in_force_on_the_next_request_and_refills_nothing(
    account: Account, grants: DynamoGrants
) -> None:
    admission = Admission(account.store, DEFAULTS)
    admission.admit(account.ask(1), NOW_NS)
    grants.set_token_limits(account.id, TOKEN, TokenLimits(rpm=1))  # the API token had none
    admission.admit(account.ask(1), NOW_NS)
    with pytest.raises(errors.RateLimitExceeded, match="This API token's limit of 1"):
        admission.admit(account.ask(1), NOW_NS)
    grants.set_token_limits(account.id, TOKEN, TokenLimits(rpm=1, monthly_tokens=1))
    with pytest.raises(errors.TokenQuotaExceeded):  # the month counts what was used without a limit, too
        admission.admit(account.ask(1), NOW_NS)
    grants.set_token_limits(account.id, TOKEN, None)
    assert grants.live_with_limits(account.id)[1] == {}
    admission.admit(account.ask(1), NOW_NS)


@pytest.mark.parametrize("limits", [FEW, None])
def test_limits_of_no_live_api_token_are_not_kept(
    account: Account, grants: DynamoGrants, limits: TokenLimits | None
) -> None:
    grants.set_token_limits(account.id, OLD, limits)
    assert grants.live_with_limits(account.id)[1] == {}
    with pytest.raises(errors.NotFound):
        grants.set_token_limits("usr_nobody", OLD, limits)


def test_limits_go_with_the_last_api_token_of_their_family(account: Account, grants: DynamoGrants) -> None:
    grants.add_live(account.id, OLD, NOW_S + 9, NOW_S, 0, FEW)
    grants.add_live(account.id, NEW, NOW_S + 9, NOW_S, 0, FEW, OLD)
    grants.add_live(account.id, OTHER, LATER_S, NOW_S + 10, 0, FEW)  # prunes both, which have expired
    assert grants.live_with_limits(account.id)[1] == {OTHER: FEW}
    assert set(account.raw()["tf"]["M"]) == set()
    grants.remove_all_live(account.id, NOW_S)
    assert {"tl", "tf"} & set(account.raw()) == set()
    grants.add_live(account.id, OLD, LATER_S, NOW_S, 0, None, OTHER)
    assert account.raw()["tf"] == {"M": {OLD: {"S": family_key(OTHER)}}}
    grants.close(account.id)
    assert {"tl", "tf"} & set(account.raw()) == set()


def test_api_tokens_that_come_and_go_at_once_leave_limits_of_live_ones_only(
    account: Account, grants: DynamoGrants
) -> None:
    def come_and_go(number: int) -> None:
        for place in range(6):
            token_id = f"tok_{number:08}{place:08}"
            grants.add_live(account.id, token_id, LATER_S, NOW_S, 0, FEW)
            grants.set_token_limits(account.id, token_id, TokenLimits(tpm=9))
            if place % 3:
                grants.remove_live(account.id, token_id)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(come_and_go, range(6)))
    live = set(account.grant().live) - {PLAYGROUND, TOKEN}
    assert len(live) == 12
    assert live <= set(grants.live_with_limits(account.id)[1])  # the losers of a race leave some to the next change
    grants.remove_live(account.id, TOKEN)
    assert set(grants.live_with_limits(account.id)[1]) == live
