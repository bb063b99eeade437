"""The ordered list of changes to items. Append only: a step that was released is never edited, nor taken out.

A step is one conditional update, said once: `wanted` both finds the items that still have the old form (as a scan's
filter) and guards their change (as the update's condition). So a step may be repeated, killed half-way, run twice at
once, and run beside functions that read and write the same items: what one of them changed meanwhile is changed no
more, and what was deleted is not brought back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Step:
    """`version` is the store's once all its steps are done; names and values are those of both expressions."""

    version: int
    name: str
    table: str
    why: str
    wanted: str
    change: str
    values: Mapping[str, Any]
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.version}.{self.name}"


SCHEMA = {"#schema": "schema"}

STEPS = (
    # An index was put on the mails' accounts, and a key of an index cannot be empty.
    Step(
        2,
        "mails-of-nobody",
        "mails",
        "mails to nobody carry no account",
        "account_id = :nobody",
        "SET #schema = :two REMOVE account_id",
        {":nobody": "", ":two": 2},
        SCHEMA,
    ),
    Step(
        2,
        "mails",
        "mails",
        "the other mails are of that form already",
        "#schema < :two AND NOT account_id = :nobody",
        "SET #schema = :two",
        {":nobody": "", ":two": 2},
        SCHEMA,
    ),
    # Limits are compared by value since; the number only made the item heavier, which admission pays for by the KB.
    Step(
        2,
        "limits-by-value",
        "grants",
        "limits are compared by value, so they need no version of their own",
        "#schema < :two",
        "SET #schema = :two REMOVE limits_version",
        {":two": 2},
        SCHEMA,
    ),
    # The two kinds of items that had no schema: without one a later step could not tell them apart.
    Step(
        3,
        "throttles",
        "throttles",
        "counters of attempts say which form they have",
        "attribute_not_exists(#schema)",
        "SET #schema = :one",
        {":one": 1},
        SCHEMA,
    ),
    Step(
        3,
        "deletions",
        "accounts",
        "so does the list of accounts on their way out",
        "pk = :deletions AND attribute_not_exists(#schema)",
        "SET #schema = :one",
        {":deletions": "deletions", ":one": 1},
        SCHEMA,
    ),
)
FIRST = 1  # of a store that has no record of its version
CURRENT = STEPS[-1].version
