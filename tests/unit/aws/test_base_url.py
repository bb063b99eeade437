"""The base URL of a deployment is read at first use, refreshed regularly, and kept while the store is unavailable."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sluice import settings
from sluice.adapters.aws.base_url import FRESH_SECONDS, RETRY_SECONDS, ParameterUrl
from sluice.domain.errors import Unavailable
from sluice.wiring import peers
from tests.fakes.ssm_server import parameters

NAME = "/sluice/base-url"
URL = "https://abc123.execute-api.eu-west-1.amazonaws.com/live"


class ParameterStore:
    def __init__(self, value: str = URL) -> None:
        self.value, self.down, self.reads = value, False, 0

    def __call__(self, name: str) -> str:
        assert name == NAME
        self.reads += 1
        if self.down:
            raise Unavailable()
        return self.value


class Clock:
    now_seconds = 1000.0

    def __call__(self) -> float:
        return self.now_seconds


def test_the_base_url_is_read_once_and_has_no_slash_at_its_end() -> None:
    store = ParameterStore(URL + "/")
    url = ParameterUrl(NAME, store, Clock())
    assert store.reads == 0
    assert [url() for _ in range(10)] == [URL] * 10
    assert store.reads == 1


def test_a_new_address_is_seen_after_a_while() -> None:
    store, clock = ParameterStore(), Clock()
    url = ParameterUrl(NAME, store, clock)
    url()
    store.value = "https://api.example.com"
    clock.now_seconds += FRESH_SECONDS - 1
    assert url() == URL
    clock.now_seconds += 2
    assert url() == "https://api.example.com"


def test_while_the_store_is_unavailable_the_last_value_holds_and_calls_are_few() -> None:
    store, clock = ParameterStore(), Clock()
    url = ParameterUrl(NAME, store, clock)
    url()
    store.down = True
    clock.now_seconds += FRESH_SECONDS + 1
    assert [url() for _ in range(5)] == [URL] * 5
    assert store.reads == 2
    store.down, store.value = False, "https://api.example.com"
    clock.now_seconds += RETRY_SECONDS + 1
    assert url() == "https://api.example.com"


def test_a_url_that_was_never_read_is_unavailable_and_read_again_at_the_next_use() -> None:
    store = ParameterStore()
    url = ParameterUrl(NAME, store, Clock())
    store.down = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            url()
    store.down = False
    assert url() == URL


@pytest.mark.parametrize("nonsense", ["", "set me", "javascript:alert(1)", "api.example.com"])
def test_a_value_that_is_no_url_is_refused(nonsense: str) -> None:
    with pytest.raises(Unavailable):
        ParameterUrl(NAME, ParameterStore(nonsense), Clock())()


def test_many_threads_at_once_make_one_call() -> None:
    store = ParameterStore()
    begin = threading.Barrier(8)

    def slow(name: str) -> str:
        time.sleep(0.02)
        return store(name)

    url = ParameterUrl(NAME, slow, time.monotonic)

    def ask(_: int) -> str:
        begin.wait()
        return url()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {URL}
    assert store.reads == 1


def test_on_aws_the_base_url_comes_from_the_parameter_that_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "SLUICE_BASE_URL_PARAMETER": NAME,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    settings.common.cache_clear()
    peers._base_url.cache_clear()
    try:
        there: dict[str, str] = {}
        with parameters(there) as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", url)
            assert settings.common().https  # this made no call, because the parameter does not exist yet
            with pytest.raises(Unavailable):
                peers.base_url()
            there[NAME] = URL
            assert peers.base_url() == URL
    finally:
        settings.common.cache_clear()
        peers._base_url.cache_clear()
