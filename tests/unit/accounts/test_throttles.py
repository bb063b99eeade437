"""The rules of throttles: waits that grow, ceilings, and what counts as one client."""

import pytest

from sluice.domain.accounts import throttles as rules


def test_free_attempts_have_no_wait_and_then_the_wait_doubles_up_to_the_ceiling() -> None:
    policy = rules.Policy("x", free=3, first_seconds=1, ceiling_seconds=10, forget_seconds=100)
    assert [policy.wait_ms(count) // 1000 for count in range(1, 9)] == [0, 0, 1, 2, 4, 8, 10, 10]
    assert policy.wait_ms(10**9) == 10_000


def test_other_clients_cannot_make_a_client_wait_long() -> None:
    shared = (rules.LOGIN_ACCOUNT, rules.LOGIN_CLIENT)
    assert max(policy.wait_ms(10**6) for policy in shared) <= 5_000
    assert rules.LOGIN_PAIR.wait_ms(10**6) == 900_000


@pytest.mark.parametrize(
    "policy",
    [rules.LOGIN_PAIR, rules.LOGIN_PAIR_ATTACKED, rules.LOGIN_CLIENT, rules.CONFIRM_PASSWORD, rules.REDEEM_CLIENT],
)
def test_attempts_are_kept_until_their_wait_is_over(policy: rules.Policy) -> None:
    assert policy.forget_seconds > policy.ceiling_seconds
    assert policy.kept_seconds >= policy.forget_seconds


def test_retry_after_is_in_whole_seconds_rounded_up() -> None:
    assert [rules.refused(1_000 + ms, 1_000).retry_after_seconds for ms in (1, 1000, 1001)] == [1, 1, 2]


def test_keys_hold_no_address_and_differ_for_different_parts() -> None:
    key = rules.key(rules.LOGIN_PAIR, "ann@example.com", "192.0.2.1")
    assert key.startswith("login-pair#") and "ann" not in key and "192" not in key
    assert rules.key(rules.LOGIN_PAIR, "a", "bc") != rules.key(rules.LOGIN_PAIR, "ab", "c")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("garbage", "unknown"),
    ],
)
def test_one_ipv4_address_or_one_ipv6_network_is_one_client(address: str, network: str) -> None:
    assert rules.client_network(address) == network
