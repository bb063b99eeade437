"""Markdown: headings and paragraphs. Markup stays in the text, because people can read it."""

import re
from collections.abc import Iterator

from sluice.adapters.documents.parsing.plain import decoded

HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*\Z")
FENCE = re.compile(r" {0,3}(```|~~~)")
UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*\Z")


def read(body: bytes) -> Iterator[tuple[int, str]]:
    paragraph: list[str] = []
    fenced = False
    for line in _without_front_matter(decoded(body).split("\n")):
        if FENCE.match(line):
            fenced = not fenced
        heading = None if fenced else HEADING.match(line)
        underline = None if fenced or len(paragraph) != 1 else UNDERLINE.match(line)
        if heading or underline or (not line.strip() and not fenced):
            if underline:
                yield (1 if "=" in line else 2), paragraph.pop()
            if paragraph:
                yield 0, "\n".join(paragraph)
            paragraph = []
            if heading:
                yield len(heading[1]), heading[2]
        else:
            paragraph.append(line)
    if paragraph:
        yield 0, "\n".join(paragraph)


def _without_front_matter(lines: list[str]) -> list[str]:
    if lines[0].strip() == "---":
        for place, line in enumerate(lines[1:50], 1):
            if line.strip() == "---":
                return lines[place + 1 :]
    return lines
