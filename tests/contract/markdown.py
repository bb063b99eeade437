"""Tables, code spans and links of a Markdown page."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
BAR = re.compile(r"(?<!\\)\|")  # between cells; a bar inside a cell is escaped
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


def read(name: str) -> str:
    """The page at a path below the project's root."""
    return (ROOT / name).read_text()


def section(text: str, title: str) -> str:
    """From the heading `title`, of any level, to the next heading. Errors: ValueError, where there is none."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"there is no section {title!r}")
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of every table in `text`, without the heads."""
    tables = re.findall(r"(?:^\|.*\|\n?)+", text, re.MULTILINE)
    return [_cells(line) for table in tables for line in table.splitlines()[2:]]


def code(text: str) -> list[str]:
    """Code spans, without fenced blocks."""
    return re.findall(r"`([^`\n]+)`", FENCED.sub("", text))


def first_names(text: str) -> list[str]:
    """The code span that begins each row."""
    return [code(row[0])[0] for row in rows(text)]


def links(text: str) -> list[str]:
    """Targets of links to files, without fragments."""
    return re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in BAR.split(line.strip())[1:-1]]
