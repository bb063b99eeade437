"""The client's address, and which proxies are trusted to report it."""

from typing import Any

import pytest
from flask import Flask

from sluice import settings
from sluice.http.client import client_address

PEER = "203.0.113.9"


def address(trusted: str, monkeypatch: pytest.MonkeyPatch, forwarded: list[str] | None = None, **environ: Any) -> str:
    monkeypatch.setenv("SLUICE_TRUSTED_PROXIES", trusted)
    settings.accounts.cache_clear()
    headers = [("X-Forwarded-For", value) for value in forwarded or []]
    with Flask("x").test_request_context(headers=headers, environ_overrides={"REMOTE_ADDR": PEER, **environ}):
        found = client_address()
    settings.accounts.cache_clear()
    return found


def test_forwarded_addresses_are_ignored_unless_the_proxy_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert address("", monkeypatch, ["192.0.2.1"]) == PEER
    assert address("198.51.100.0/24", monkeypatch, ["192.0.2.1"]) == PEER


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ([], PEER),
        ([""], PEER),
        (["192.0.2.1"], "192.0.2.1"),
        (["10.9.9.9, 192.0.2.1"], "192.0.2.1"),  # the client made the first one up
        (["192.0.2.1, 10.0.0.1, 10.0.0.2"], "192.0.2.1"),  # two trusted proxies in between
        (["6.6.6.6", "192.0.2.1"], "192.0.2.1"),  # two header lines are one list
        (["garbage"], "garbage"),  # becomes "unknown" later, so all garbage shares one throttle
        (["10.0.0.1"], "10.0.0.1"),
    ],
)
def test_a_trusted_proxy_counts_for_the_address_that_it_saw(
    monkeypatch: pytest.MonkeyPatch, forwarded: list[str], expected: str
) -> None:
    assert address("203.0.113.0/24, 10.0.0.0/8", monkeypatch, forwarded) == expected


def test_on_lambda_the_address_is_api_gateways_and_not_the_first_forwarded_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = {"apig_wsgi.request_context": {"identity": {"sourceIp": "192.0.2.77"}}, "REMOTE_ADDR": "6.6.6.6"}
    assert address("", monkeypatch, ["6.6.6.6, 192.0.2.77"], **context) == "192.0.2.77"


CONTEXT = '{"identity": {"sourceIp": "192.0.2.77"}, "stage": "live"}'


def test_under_the_web_adapter_the_address_comes_from_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    assert address("", monkeypatch, ["6.6.6.6"], HTTP_X_AMZN_REQUEST_CONTEXT=CONTEXT) == "192.0.2.77"


def test_outside_lambda_the_web_adapters_header_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_RUNTIME_API", raising=False)
    assert address("", monkeypatch, HTTP_X_AMZN_REQUEST_CONTEXT=CONTEXT) == PEER


@pytest.mark.parametrize("garbage", ["{", "[]", "null", '"x"'])
def test_garbage_in_the_web_adapters_header_gives_no_address_and_no_error(
    monkeypatch: pytest.MonkeyPatch, garbage: str
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    assert address("", monkeypatch, HTTP_X_AMZN_REQUEST_CONTEXT=garbage) == ""


def test_without_a_peer_there_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert address("", monkeypatch, REMOTE_ADDR="") == ""


def test_an_invalid_network_is_refused_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_TRUSTED_PROXIES", "10.0.0.0/8, proxy.internal")
    settings.accounts.cache_clear()
    with pytest.raises(ValueError, match=r"proxy\.internal"):
        settings.accounts()
