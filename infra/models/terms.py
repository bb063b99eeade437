"""Licences: which are shown before the first use, and what was accepted."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

from functions.inference.models.catalogue import CatalogueModel

HIDDEN = frozenset({"script", "style", "head", "nav", "svg", "noscript", "template"})
BLOCKS = frozenset({"p", "div", "li", "tr", "br", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article", "ul", "ol"})

Asker = Callable[[CatalogueModel, str | None], bool]
"""Shows the licence (its text, where the source has it) and returns whether it was accepted."""


def origin_file(path: Path) -> Path:
    """Where it is recorded from where a model file came, and which licence was accepted."""
    return path.with_name(path.name + ".origin.json")


def origin_of(path: Path) -> dict[str, object]:
    """The record; empty where there is none that can be read."""
    try:
        found = json.loads(origin_file(path).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def place_of(entry: CatalogueModel) -> object:
    """Where its file comes from, as it is recorded."""
    return entry.url or (list(entry.wheels.packages) if entry.wheels else None)


def was_accepted(entry: CatalogueModel, path: Path) -> bool:
    """Whether this licence was accepted for this file before."""
    found = origin_of(path)
    return found.get("license") == entry.license and bool(found.get("accepted_at"))


def record_origin(entry: CatalogueModel, path: Path, **more: object) -> None:
    """Write the record, over what an earlier pull wrote, but for the time when the licence was accepted."""
    record: dict[str, object] = {"name": entry.name, "from": place_of(entry), "license": entry.license}
    record["license_url"] = entry.license_url
    if was_accepted(entry, path):
        record["accepted_at"] = origin_of(path)["accepted_at"]
    origin_file(path).write_text(json.dumps(record | more, indent=2) + "\n")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def plain_text(document: str) -> str:
    """The text of a licence that may be a web page: from its first heading, without what is not shown."""
    if not re.match(r"\s*<(!doctype|html|\?xml)", document, re.IGNORECASE):
        return document.strip()
    page = _Page()
    page.feed(document)
    lines = (" ".join(line.split()) for line in "".join(page.pieces).split("\n"))
    return re.sub(r"\n{2,}", "\n\n", "\n".join(lines)).strip()


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._hidden = 0
        self._begun = False

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self._hidden += tag in HIDDEN
        self._begun = self._begun or tag == "h1"
        if tag in BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in HIDDEN))
        if tag in BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if self._begun and not self._hidden:
            self.pieces.append(re.sub(r"\s+", " ", data))
