"""The ordered list of changes to items. It is append-only: never edit or remove a released step.

A step is one conditional update, or (`rewrite`) one transaction. `wanted` is both the scan's filter, which finds items
with the old form, and the update's condition, which guards their change. So a step may be repeated, interrupted, run
concurrently, and run while functions use the same items: items that were changed or deleted in the meantime stay as
they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.migrations import addresses


@dataclass(frozen=True)
class Step:
    """`version`: the store's version once all its steps are done. `names` and `values`: of both expressions.

    `rewrite` does what `change` cannot: it makes a transaction from the client, the prefix and an item's key. The first
    write's condition holds `wanted` and what else was read.
    """

    version: int
    name: str
    table: str
    why: str
    wanted: str
    change: str
    values: Mapping[str, Any]
    names: Mapping[str, str] = field(default_factory=dict)
    rewrite: Callable[[Any, str, Any], list[Any]] | None = None

    @property
    def key(self) -> str:
        return f"{self.version}.{self.name}"


SCHEMA = {"#schema": "schema"}

STEPS = (
    # `account_id` of mails became an index key, and index keys cannot be empty.
    Step(
        2,
        "mails-of-nobody",
        "mails",
        "mails without an account lose their empty account id",
        "account_id = :nobody",
        "SET #schema = :two REMOVE account_id",
        {":nobody": "", ":two": 2},
        SCHEMA,
    ),
    Step(
        2,
        "mails",
        "mails",
        "the other mails have that form already",
        "#schema < :two AND NOT account_id = :nobody",
        "SET #schema = :two",
        {":nobody": "", ":two": 2},
        SCHEMA,
    ),
    # Limits are now compared by value. The number made the item larger, and admission pays for each KB.
    Step(
        2,
        "limits-by-value",
        "grants",
        "limits are compared by value and need no version number",
        "#schema < :two",
        "SET #schema = :two REMOVE limits_version",
        {":two": 2},
        SCHEMA,
    ),
    # Two kinds of items had no schema number, by which a later step could distinguish them.
    Step(
        3,
        "throttles",
        "throttles",
        "counters of attempts get a schema number",
        "attribute_not_exists(#schema)",
        "SET #schema = :one",
        {":one": 1},
        SCHEMA,
    ),
    Step(
        3,
        "deletions",
        "accounts",
        "the list of unfinished deletions gets a schema number",
        "pk = :deletions AND attribute_not_exists(#schema)",
        "SET #schema = :one",
        {":deletions": "deletions", ":one": 1},
        SCHEMA,
    ),
    Step(
        4,
        "addresses",
        "accounts",
        "addresses are compared by lower case, and unverified accounts end after 7 days",
        "attribute_exists(email_key) AND #schema < :two",
        "",
        {":two": 2},
        SCHEMA,
        addresses.rewrite,
    ),
)
FIRST = 1  # the version of a store without a record
CURRENT = STEPS[-1].version
