"""What `sluice doctor` says of payment: what keeps plans from being sold."""

from pathlib import Path

import pytest

from infra.doctor import configuration

PAYMENT = """
[payment]
key = "env:SLUICE_STRIPE_KEY"
webhook_secret = "env:SLUICE_STRIPE_WEBHOOK_SECRET"

[[plans]]
name = "free"
default = true
"""
SOLD = """
[[plans]]
name = "pro"
stripe_price = "price_1"
"""


def said(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, base_url: str = "https://ada.example") -> str:
    (folder / "sluice.toml").write_text(text)
    monkeypatch.setenv("SLUICE_CONFIG", str(folder / "sluice.toml"))
    monkeypatch.setenv("SLUICE_BASE_URL", base_url)
    monkeypatch.setenv("SLUICE_DATA_DIR", str(folder))
    return "\n".join(str(one) for one in configuration.settings())


def test_a_secret_that_is_not_there_and_a_shop_without_goods_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = said(tmp_path, monkeypatch, PAYMENT, "http://127.0.0.1:8080")
    assert "there is no secret at env:SLUICE_STRIPE_KEY" in found and "env:SLUICE_STRIPE_WEBHOOK_SECRET" in found
    assert "no plan has a stripe_price" in found and "Stripe cannot reach http://127.0.0.1:8080" in found


def test_nothing_is_said_where_all_is_set_or_nothing_is_sold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_STRIPE_KEY", "sk_test_1")
    monkeypatch.setenv("SLUICE_STRIPE_WEBHOOK_SECRET", "whsec_1")
    for text in (PAYMENT + SOLD, '[[plans]]\nname = "free"\ndefault = true\n'):
        found = said(tmp_path, monkeypatch, text)
        assert "paid" not in found and "stripe" not in found.lower()
