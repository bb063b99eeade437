"""The checks of `make prove-aws` that need HTTP only, against a running system: what is asked and read is right."""

from typing import Any

import pytest

from infra.aws.proving import by_http, prove
from infra.aws.proving.account import Account
from infra.demo.client import Client
from tests.e2e.admins import make_admin
from tests.e2e.place import BUFFERING, CHOSEN, Place


def no_aws(service: str) -> Any:
    raise AssertionError(f"asks {service}")


@pytest.mark.parametrize("name", ["whole-path", "streams", "limits"])
def test_a_check_holds_without_aws(system: Place, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_http, "AT_ONCE", 8)  # each is a process that starts, on the emulator
    person = make_admin(system)
    account = Account(no_aws, "sluice", person.email, person.password)
    vars(account)["web"] = Client(system.base_url)
    (row,) = prove(account, (name,))
    seen = "failed" if name == "streams" and CHOSEN in BUFFERING else "shown"
    assert row.result == seen or "too fast to tell" in row.seen, row
