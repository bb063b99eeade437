"""Cuts a document's text into passages: first by structure, then by size.

A passage lies within one section and includes the headings above it, so that it can be found and understood alone.
Sizes are in the tokens of the embedding model, or as `tokens` estimates them where there is none.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

TARGET_TOKENS = 320
OVERLAP_TOKENS = 48
CHARACTERS_A_TOKEN = 4
MOST_ROUNDS = 12
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


def most_tokens(text: str) -> int:
    """What even numbers, codes and other alphabets seldom exceed: one for two bytes."""
    return -(-len(text.encode("utf-8", "replace")) // 2)


@dataclass(frozen=True)
class Measure:
    """`count`: the model tokens of each of many texts, by one call, because a model server may be asked. `most`: of a
    passage."""

    count: Callable[[Sequence[str]], Sequence[int]] = lambda texts: [tokens(text) for text in texts]
    most: int = TARGET_TOKENS


ESTIMATED = Measure()
Weighed = list[tuple[str, int]]
"""Sentences with their tokens."""


def chunks_of(blocks: Sequence[Block], measure: Measure = ESTIMATED) -> Iterator[Chunk]:
    """The passages of a document, in its order. A document of headings only is one of its headings' texts."""
    sections = list(_sections(blocks))
    if not any(text.strip() for _title, text in sections):
        sections = [("", "\n".join(block.text for block in blocks))]
    weighed = _weighed([text for _title, text in sections], measure)
    for (title, _text), sentences in zip(sections, weighed, strict=True):
        for piece in _pieces(sentences, measure.most):
            yield Chunk(title, piece)


def _sections(blocks: Sequence[Block]) -> Iterator[tuple[str, str]]:
    """The headings above a section, and its text."""
    path: list[Block] = []
    section: list[str] = []
    for block in [*blocks, Block(1, "")]:
        if not block.level:
            section.append(block.text)
            continue
        yield " › ".join(heading.text for heading in path), "\n".join(section)
        section = []
        path = [heading for heading in path if heading.level < block.level]
        path.append(Block(block.level, block.text[:MOST_HEADING_CHARACTERS]))


def _weighed(texts: Sequence[str], measure: Measure) -> list[Weighed]:
    """The sentences of each text, none with more tokens than a passage may have."""
    sentences = _cut([list(_sentences(text)) for text in texts], ESTIMATED)[0]
    sentences, known = _cut(sentences, measure)
    return [[(one, known[one] if one.strip() else 0) for one in its] for its in sentences]


def _cut(texts: list[list[str]], measure: Measure) -> tuple[list[list[str]], dict[str, int]]:
    """Cut the sentences that are too long, if possible at a space, and count again: a call for all that are new.
    → the sentences, and the tokens of each."""
    known: dict[str, int] = {}
    for _ in range(MOST_ROUNDS):
        new = list(dict.fromkeys(one for its in texts for one in its if one not in known))
        if not new:
            break
        known.update(zip(new, measure.count(new), strict=True))
        texts = [[part for one in its for part in _parts(one, known[one], measure.most)] for its in texts]
    for one in (one for its in texts for one in its):
        known.setdefault(one, measure.most)
    return texts, known


def _parts(sentence: str, count: int, most: int) -> Iterator[str]:
    if count <= most or len(sentence) == 1:
        yield sentence
        return
    size, start = max(1, len(sentence) * most // (count + 1)), 0
    while start < len(sentence):
        end = start + size
        space = sentence.rfind(" ", start + size // 2, end) if end < len(sentence) else -1
        end = space + 1 if space > start else end
        yield sentence[start:end]
        start = end


def _pieces(sentences: Weighed, most: int) -> Iterator[str]:
    """Pieces of whole sentences up to the target size. Each piece begins with the last sentences of the one before."""
    held: Weighed = []
    size, fresh = 0, False
    for sentence, weight in sentences:
        if fresh and size + weight > most:
            yield _joined(held)
            held, size = _tail(held, min(most * OVERLAP_TOKENS // TARGET_TOKENS, most - weight))
            fresh = False
        held.append((sentence, weight))
        size, fresh = size + weight, fresh or weight > 0
    if fresh and _joined(held):
        yield _joined(held)


def _joined(held: Weighed) -> str:
    return "".join(sentence for sentence, _ in held).strip()


def _tail(held: Weighed, most: int) -> tuple[Weighed, int]:
    size, start = 0, len(held)
    while start > 0 and size + held[start - 1][1] <= most:
        start -= 1
        size += held[start][1]
    return held[start:], size


def _sentences(text: str) -> Iterator[str]:
    """Sentences, including the text between them."""
    return (found[0] for found in SENTENCE.finditer(text) if found[0])
