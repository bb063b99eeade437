"""From text to the terms that are indexed and searched (docs/adr/0072).

Text is folded first: NFKC (full and half width become the same), case, accents of Latin letters. Then by script:
- words of letters and digits; English words are stemmed, and digits grouped by commas are joined;
- Chinese characters: each pair of neighbours, and each one (a query uses a single one only if it stands alone);
- katakana, hiragana, hangul: each pair of neighbours, or a character that stands alone.
This needs no dictionary, so names and new words are found as well as old ones.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

from sluice.adapters.documents.search.stop_words import CHINESE, ENGLISH, HIRAGANA, KANJI_OF_ASKING, LONE_KANJI

LONGEST_TERM = 48
MOST_ASKED = 64
"""The most terms of one query; the rest of a longer query is ignored."""

HAN = r"\u3005\u3006\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
HIRA = r"\u3041-\u309f"
KATA = r"\u30a1-\u30fa\u30fc-\u30ff"
HANGUL = r"\uac00-\ud7af\u1100-\u11ff"
RUNS = re.compile(
    rf"(?P<han>[{HAN}]+)|(?P<hira>[{HIRA}]+)|(?P<kata>[{KATA}]+)|(?P<hangul>[{HANGUL}]+)"
    rf"|(?P<number>\d+(?:,\d{{3}})+(?!\d))|(?P<word>[^\W_{HAN}{HIRA}{KATA}{HANGUL}]+)"
)
ASCII_RUNS = re.compile(r"\d+(?:,\d{3})+(?!\d)|[a-z0-9]+")
ASKING = re.compile(KANJI_OF_ASKING)
CHINESE_CUT = re.compile(CHINESE)
LATIN = re.compile(r"[a-z]+\Z")
MARKS = re.compile(r"[\u0300-\u036f]")
APOSTROPHES = re.compile(r"(?<=[^\W\d_])['’](?:s|t|re|ve|ll|d|m)\b")


@dataclass(frozen=True)
class Asked:
    """`content`: terms that a passage must contain; `beside`: terms that only add to its score."""

    content: tuple[str, ...]
    beside: tuple[str, ...] = ()


def indexed(text: str) -> list[str]:
    """The terms of a text in their order, with repetitions."""
    if text.isascii():  # the same result in a fifth of the time
        return [_word(word) for word in _ascii_words(text)]
    found: list[str] = []
    for kind, run in _runs(text):
        if kind == "han":
            found += run
            found += _pairs(run)
        elif kind in ("kata", "hira", "hangul"):
            found += _pairs(run) or [run]
        else:
            found.append(_word(run))
    return found


def counted(text: str, wanted: Collection[str]) -> tuple[Counter[str], int]:
    """How often `indexed` has each of these terms, and how many terms it has. A search reads dozens of passages, so
    only words that may be meant are stemmed: a stem begins as its word does."""
    if not text.isascii():
        terms = indexed(text)
        return Counter(term for term in terms if term in wanted), len(terms)
    words, letters = _ascii_words(text), {term[0] for term in wanted}
    alike = (_word(word) for word in words if word[0] in letters)
    return Counter(term for term in alike if term in wanted), len(words)


def asked(query: str) -> Asked:
    """The terms of a query, without duplicates. A query of stop words only keeps them."""
    folded = _fold(query)
    japanese = re.search(rf"[{HIRA}{KATA}]", folded) is not None
    content: list[str] = []
    beside: list[str] = []
    plain: list[str] = []
    for kind, run in _runs(query):
        if kind == "han":
            if run not in LONE_KANJI:
                for part in (ASKING if japanese else CHINESE_CUT).split(run):
                    content += _pairs(part) or [part]
            plain += _pairs(run) or [run]
        elif kind in ("kata", "hangul"):
            content += _pairs(run) or [run]
        elif kind == "hira":
            beside += [pair for part in _without_function_words(run) for pair in _pairs(part)]
            plain += _pairs(run)
        else:
            term = _word(run)
            plain.append(term)
            if run not in ENGLISH:
                content.append(term)
    wanted = _once(content) or _once(beside) or _once(plain)
    return Asked(wanted, tuple(term for term in _once(beside) if term not in wanted))


def _ascii_words(text: str) -> list[str]:
    folded = text.casefold()
    return ASCII_RUNS.findall(APOSTROPHES.sub("", folded) if "'" in folded else folded)


def _runs(text: str) -> Iterator[tuple[str, str]]:
    for match in RUNS.finditer(APOSTROPHES.sub("", _fold(text))):
        yield match.lastgroup or "word", match.group()


def _fold(text: str) -> str:
    """NFKC, lower case, and Latin letters without accents. Japanese sound marks stay."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    if folded.isascii():
        return folded
    return unicodedata.normalize("NFC", MARKS.sub("", unicodedata.normalize("NFD", folded)))


def _pairs(run: str) -> list[str]:
    return [first + second for first, second in pairwise(run)]


def _once(terms: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, terms)))[:MOST_ASKED]


def _without_function_words(run: str) -> list[str]:
    for word in HIRAGANA:
        run = run.replace(word, " ") if len(word) > 1 else run
    return [part for part in run.split() if len(part) > 1]


@lru_cache(maxsize=50_000)
def _word(word: str) -> str:
    word = word.replace(",", "")[:LONGEST_TERM]
    return _stemmer().stemWord(word) if LATIN.match(word) else word


@cache
def _stemmer() -> Any:
    from snowballstemmer import stemmer  # type: ignore[import-untyped]

    return stemmer("english")
