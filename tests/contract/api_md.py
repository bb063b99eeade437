"""Parses docs/api.md: its calls, error rows and configuration table."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "api.md").read_text()

METHOD = "GET|POST|PUT|PATCH|DELETE"
# `GET` and `DELETE /x`, `GET`/`PATCH`/`DELETE /x`, or just `GET /x`
CALLS = re.compile(rf"((?:`(?:{METHOD})`(?:/| and |, ))*)`({METHOD}) (/[^\s`?]*)[^`]*`")
ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)
BAR = re.compile(r"(?<!\\)\|")  # between cells; one inside a cell is escaped


class ErrorRow(NamedTuple):
    statuses: tuple[int, ...]
    codes: tuple[str, ...]


def normal(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def calls() -> set[str]:
    found = set()
    for also, method, path in CALLS.findall(TEXT):
        found |= {f"{each} {normal(path)}" for each in [*re.findall(METHOD, also), method]}
    return found


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    cells = [[cell.strip() for cell in BAR.split(line)] for line in ROW.findall(section(title))]
    return cells[2:]


def error_rows() -> list[ErrorRow]:
    return [
        ErrorRow(
            tuple(int(status) for status in re.findall(r"\d{3}", row[0])),
            tuple(re.findall(r"`([a-z]+(?:_[a-z]+)*)`", " ".join(row[1:]))),
        )
        for row in rows("Errors")
    ]


def configuration() -> dict[str, str]:
    """Variable → default, as printed. `SLUICE_DEFAULT_RPM`, `_TPM` share a row and its list of defaults."""
    found: dict[str, str] = {}
    for names_cell, default, *_ in rows("Configuration of a local run"):
        names = re.findall(r"`([A-Z_]+)`", names_cell)
        stem = names[0].rpartition("_")[0]
        names = [stem + name if name.startswith("_") else name for name in names]
        defaults = default.split(", ") if len(names) > 1 else [default]
        found |= dict(zip(names, (text.strip("`") for text in defaults), strict=True))
    return found
