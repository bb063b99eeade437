"""Issuing and revoking API tokens when a write fails half way, and what the list shows then."""

import pytest

from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import NotFound, StoreUnavailable, TokenLimitReached
from sluice.domain.gateway.grants import (
    MAX_LIVE_TOKENS,
    PLAYGROUND,
    PLAYGROUND_EXPIRES_S,
    expired_tokens,
    has_room,
    live_tokens,
    new_grant,
)
from sluice.domain.tokens import SCOPES, ApiToken, TokenRequest
from sluice.services.accounts.security_events import SecurityEvents
from sluice.services.tokens import IssuedToken, Tokens
from tests.fakes.account_side import FakeAudit, FakeGrants, FakePublished, FakeSigner, FakeTokens, OpenThrottles

NOW_MS = 1_800_000_000_123
NOW_S = NOW_MS // 1000
ME = "usr_me"


@pytest.fixture
def tokens() -> FakeTokens:
    return FakeTokens()


@pytest.fixture
def grants() -> FakeGrants:
    return FakeGrants()


def bound(tokens: FakeTokens, grants: FakeGrants) -> Tokens:
    events = SecurityEvents(FakeAudit(), OpenThrottles())
    return Tokens(tokens, grants, events, FakeSigner, FakePublished())  # type: ignore[arg-type]


def issue(tokens: FakeTokens, grants: FakeGrants, now_ms: int = NOW_MS) -> IssuedToken:
    return bound(tokens, grants).issue(ME, TokenRequest("x", 3600), now_ms, epoch=0)


def revoke_all(tokens: FakeTokens, grants: FakeGrants, now_ms: int = NOW_MS) -> int:
    return bound(tokens, grants).revoke_all(ME, Visitor("192.0.2.1", now_ms))


def statuses(tokens: FakeTokens, grants: FakeGrants, now_ms: int = NOW_MS) -> list[str]:
    return [listed.status for listed in bound(tokens, grants).all(ME, now_ms)]


def test_the_row_is_written_before_the_token_is_live(tokens: FakeTokens, grants: FakeGrants) -> None:
    tokens.broken = {"put"}
    with pytest.raises(StoreUnavailable):
        issue(tokens, grants)
    assert grants.calls == []


def test_an_issue_refused_by_the_limit_leaves_no_row(tokens: FakeTokens) -> None:
    grants = FakeGrants(**{f"tok_{place}": NOW_S + 1 for place in range(MAX_LIVE_TOKENS)})
    with pytest.raises(TokenLimitReached):
        issue(tokens, grants)
    assert tokens.rows == {} and len(grants.entries) == MAX_LIVE_TOKENS


def test_an_issue_that_failed_half_way_leaves_a_row_that_can_be_revoked_and_deleted(
    tokens: FakeTokens, grants: FakeGrants
) -> None:
    grants.broken = {"add_live"}
    with pytest.raises(StoreUnavailable):
        issue(tokens, grants)
    grants.broken = set()
    assert statuses(tokens, grants) == ["revoked"]  # not live, so nobody can use it
    (row,) = tokens.rows.values()
    bound(tokens, grants).revoke(ME, row.token_id, NOW_MS)
    bound(tokens, grants).delete(ME, row.token_id)
    assert tokens.rows == {}


def test_a_revocation_holds_although_its_second_write_fails(tokens: FakeTokens, grants: FakeGrants) -> None:
    issued = issue(tokens, grants)
    tokens.broken = {"mark_revoked"}
    with pytest.raises(StoreUnavailable):
        bound(tokens, grants).revoke(ME, issued.row.token_id, NOW_MS)
    assert grants.entries == {} and statuses(tokens, grants) == ["revoked"]


def test_a_revocation_whose_first_write_fails_is_an_error_and_changes_nothing(
    tokens: FakeTokens, grants: FakeGrants
) -> None:
    issued = issue(tokens, grants)
    grants.broken = {"remove_live"}
    for attempt in (
        lambda: bound(tokens, grants).revoke(ME, issued.row.token_id, NOW_MS),
        lambda: bound(tokens, grants).delete(ME, issued.row.token_id),
    ):
        with pytest.raises(StoreUnavailable):
            attempt()
    assert statuses(tokens, grants) == ["active"]


def test_revoke_all_holds_after_its_first_write(tokens: FakeTokens, grants: FakeGrants) -> None:
    issue(tokens, grants), issue(tokens, grants)
    tokens.broken = {"mark_revoked"}
    with pytest.raises(StoreUnavailable):
        revoke_all(tokens, grants)
    assert grants.entries == {} and statuses(tokens, grants) == ["revoked", "revoked"]


def test_revoking_all_tokens_is_recorded_as_a_security_event(tokens: FakeTokens, grants: FakeGrants) -> None:
    audit = FakeAudit()
    events = SecurityEvents(audit, OpenThrottles())
    bound = Tokens(tokens, grants, events, FakeSigner, FakePublished())  # type: ignore[arg-type]
    assert bound.revoke_all(ME, Visitor("192.0.2.1", NOW_MS)) == 0
    (event,) = audit.events
    assert (event.action, event.actor, event.target, event.client) == ("tokens_revoked", ME, ME, "192.0.2.1")


def test_the_status_of_a_token_is_active_then_expired_or_revoked(tokens: FakeTokens, grants: FakeGrants) -> None:
    issued = issue(tokens, grants)
    end_ms = issued.row.expires_ms
    assert [statuses(tokens, grants, at) for at in (NOW_MS, end_ms - 1, end_ms)] == [
        ["active"],
        ["active"],
        ["expired"],
    ]
    bound(tokens, grants).revoke(ME, issued.row.token_id, NOW_MS)
    assert statuses(tokens, grants, end_ms) == ["revoked"]


def test_revoke_all_counts_and_dates_what_it_revokes(tokens: FakeTokens, grants: FakeGrants) -> None:
    issue(tokens, grants), issue(tokens, grants)
    assert revoke_all(tokens, grants) == 2
    assert [row.revoked_ms for row in tokens.rows.values()] == [NOW_MS, NOW_MS]


def test_an_expired_token_is_not_counted_by_revoke_all(tokens: FakeTokens, grants: FakeGrants) -> None:
    issue(tokens, grants)
    assert revoke_all(tokens, grants, NOW_MS + 3_700_000) == 0
    assert statuses(tokens, grants, NOW_MS + 3_700_000) == ["expired"]


def test_anothers_token_does_not_exist(tokens: FakeTokens, grants: FakeGrants) -> None:
    tokens.put(ApiToken("usr_other", "tok_1", "x", "hint", SCOPES, NOW_MS, NOW_MS + 1))
    with pytest.raises(NotFound):
        bound(tokens, grants).one(ME, "tok_1", NOW_MS)
    with pytest.raises(NotFound):
        bound(tokens, grants).delete(ME, "tok_1")
    assert len(tokens.rows) == 1 and grants.calls == []


def test_the_repr_of_an_issued_token_shows_no_signature(tokens: FakeTokens, grants: FakeGrants) -> None:
    assert "signature" not in repr(issue(tokens, grants))


def test_a_new_grant_holds_exactly_what_admission_reads() -> None:
    grant = new_grant(ME, rpm=1, tpm=2, concurrency=3, monthly_tokens=4, now_ms=NOW_MS)
    assert grant == {
        "account_id": ME,
        "live": {PLAYGROUND: PLAYGROUND_EXPIRES_S},
        "standing": "good",
        "limits": {"rpm": 1, "tpm": 2, "concurrency": 3, "monthly_tokens": 4},
        "tat_requests_ns": 0,
        "tat_tokens_ns": 0,
        "leases": {},
        "period": 202701,
        "period_tokens": 0,
        "blocked_until": 0,
        "block_seconds": 0,
        "schema": 2,
    }


def test_the_playgrounds_entry_does_not_count_as_an_api_token() -> None:
    live = {PLAYGROUND: PLAYGROUND_EXPIRES_S, "tok_a": NOW_S, "tok_b": NOW_S + 1}
    assert live_tokens(live, NOW_S) == {"tok_b": NOW_S + 1}
    assert expired_tokens(live, NOW_S) == ["tok_a"]
    full = {f"tok_{place}": NOW_S + 1 for place in range(MAX_LIVE_TOKENS - 1)}
    assert has_room(full | {PLAYGROUND: 1}, NOW_S) and not has_room(full | {"tok_x": NOW_S + 1}, NOW_S)
