"""The models against the domain: a field that a model does not declare would be lost when it is read."""

from dataclasses import fields

import pytest

from sluice.adapters.aws.models import TABLES, AccountItem, AuditItem, LedgerItem, RollupItem, TokenItem
from sluice.domain.accounts.account import Account
from sluice.domain.accounts.audit import AuditEvent
from sluice.domain.usage.usage import Amounts


@pytest.mark.parametrize(
    ("model", "kind"),
    [(AccountItem, Account), (AuditItem, AuditEvent), (RollupItem, Amounts)],
    ids=lambda one: one.__name__,
)
def test_a_model_has_every_field_that_is_read_through_it(model: type, kind: type) -> None:
    assert {field.name for field in fields(kind)} <= set(model.get_attributes())  # type: ignore[attr-defined, arg-type]


def test_every_table_has_one_model() -> None:
    names = [table.Meta.table_name for table in TABLES]
    assert len(set(names)) == len(names) == 14


def test_a_model_reaches_no_store_before_it_is_bound() -> None:
    assert all(table._connection is None for table in (AccountItem, LedgerItem, TokenItem))
