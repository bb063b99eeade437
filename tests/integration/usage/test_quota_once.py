"""A correction of a quota is no put-if-absent, so it is never sent twice."""

from typing import Any

import pytest

from sluice.domain.errors import StoreUnavailable
from sluice.wiring import stores
from tests.conftest import Store


def test_where_the_store_is_silent_an_addition_is_not_sent_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    def silent(operation: str, body: bytes, *, once: bool) -> tuple[int, dict[str, Any]]:
        sent.append(operation)
        raise TimeoutError

    accountant: Any = stores.accountant()
    monkeypatch.setattr(accountant._client, "_send", silent)
    with pytest.raises(StoreUnavailable):
        accountant.add_to_quota("usr_a", 202611, 9)
    assert sent == ["UpdateItem"]
