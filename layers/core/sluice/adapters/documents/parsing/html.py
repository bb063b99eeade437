"""HTML as a stream of tags and text. No tree is built, so deep nesting costs nothing; nothing is fetched or run."""

from collections.abc import Iterator
from html.parser import HTMLParser

from sluice.adapters.documents.parsing.plain import decoded

SILENT = frozenset({"script", "style", "template", "noscript", "iframe", "object", "svg", "math", "head", "select"})
BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "br",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "title",
        "tr",
        "ul",
    ]
)
HEADINGS = {f"h{level}": level for level in range(1, 7)}
FED_CHARACTERS = 64 * 1024


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[tuple[int, str]] = []
        self._held: list[str] = []
        self._level = 0
        self._silent = ""  # the skipped element, until it ends; `_depth` counts nested ones
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._silent:
            self._depth += tag == self._silent
        elif tag in SILENT:
            self._silent, self._depth = tag, 1
        elif tag == "body":
            self.flush()
        elif tag in HEADINGS:
            self.flush()
            self._level = HEADINGS[tag]
        elif tag in BLOCKS:
            self.flush()

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            self._depth -= tag == self._silent
            if not self._depth or tag == "html":
                self._silent = ""
        elif tag in HEADINGS or tag in BLOCKS:
            self.flush()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._held.append(data)

    def flush(self) -> None:
        text = " ".join("".join(self._held).split())
        if text:
            self.blocks.append((self._level, text))
        self._held, self._level = [], 0


def read(body: bytes) -> Iterator[tuple[int, str]]:
    parser, text = _Text(), decoded(body)
    for start in range(0, len(text), FED_CHARACTERS):
        parser.feed(text[start : start + FED_CHARACTERS])
        yield from parser.blocks
        parser.blocks = []
    parser.close()
    parser.flush()
    yield from parser.blocks
