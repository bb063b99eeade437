"""Cuts a document's text into passages: first by structure, then by size.

A passage lies within one section and includes the headings above it, so that it can be found and understood alone.
Sizes are in tokens as `tokens` estimates them, because the model that will read a passage is unknown here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TARGET_TOKENS = 320
OVERLAP_TOKENS = 48
CHARACTERS_A_TOKEN = 4
LONGEST = (TARGET_TOKENS + 1) * CHARACTERS_A_TOKEN
MOST_HEADING_CHARACTERS = 200
WIDE = re.compile(r"[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
# Sentences end at these characters, including closing quotes, and at line ends.
SENTENCE = re.compile(r"[^\n.!?。！？]*(?:[.!?。！？]+[)\]」』”\"']*(?=\s|$|[^\x00-\x7f])|[.!?。！？]+|\n+|$)")


@dataclass(frozen=True)
class Block:
    """A paragraph (`level` 0) or a heading (1 to 6) of a document."""

    level: int
    text: str


@dataclass(frozen=True)
class Chunk:
    """One passage: the headings above it, outermost first, and its text."""

    title: str
    text: str


def tokens(text: str) -> int:
    """An estimate of model tokens: one for each wide character (Japanese, Chinese, Korean), one for four others."""
    wide = len(WIDE.findall(text))
    return wide + -(-(len(text) - wide) // CHARACTERS_A_TOKEN)


def chunks_of(blocks: Sequence[Block]) -> Iterator[Chunk]:
    """The passages of a document, in its order. A document of headings only is one of its headings' texts."""
    path: list[Block] = []
    section: list[str] = []
    found = False
    for block in [*blocks, Block(1, "")]:
        if not block.level:
            section.append(block.text)
            continue
        title = " › ".join(heading.text for heading in path)
        for text in _pieces(section):
            found = True
            yield Chunk(title, text)
        section = []
        path = [heading for heading in path if heading.level < block.level]
        path.append(Block(block.level, block.text[:MOST_HEADING_CHARACTERS]))
    if not found:
        headings = "\n".join(block.text for block in blocks)
        for text in _pieces([headings]):
            yield Chunk("", text)


def _pieces(paragraphs: Sequence[str]) -> Iterator[str]:
    """Pieces of whole sentences up to the target size. Each piece begins with the last sentences of the one before."""
    held: list[tuple[str, int]] = []
    size, fresh = 0, False
    for sentence in _sentences("\n".join(paragraphs)):
        weight = tokens(sentence) if sentence.strip() else 0
        if fresh and size + weight > TARGET_TOKENS:
            yield _joined(held)
            held, size, fresh = *_tail(held), False
        held.append((sentence, weight))
        size, fresh = size + weight, fresh or weight > 0
    if fresh and _joined(held):
        yield _joined(held)


def _joined(held: Sequence[tuple[str, int]]) -> str:
    return "".join(sentence for sentence, _ in held).strip()


def _tail(held: Sequence[tuple[str, int]]) -> tuple[list[tuple[str, int]], int]:
    size, start = 0, len(held)
    while start > 0 and size + held[start - 1][1] <= OVERLAP_TOKENS:
        start -= 1
        size += held[start][1]
    return list(held[start:]), size


def _sentences(text: str) -> Iterator[str]:
    """Sentences, including the text between them. One that is longer than a passage is cut, if possible at a space."""
    for match in SENTENCE.finditer(text):
        start, end = match.span()
        while end - start > TARGET_TOKENS and tokens(text[start : min(end, start + LONGEST)]) > TARGET_TOKENS:
            length = _fitting(text[start : min(end, start + LONGEST)])
            yield text[start : start + length]
            start += length
        if start < end:
            yield text[start:end]


def _fitting(sentence: str) -> int:
    head = sentence
    while (size := tokens(head)) > TARGET_TOKENS:
        head = head[: max(1, len(head) * TARGET_TOKENS // size)]
    space = head.rfind(" ", len(head) // 2)
    return space + 1 if space > 0 else len(head)
