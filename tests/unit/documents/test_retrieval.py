"""Passages in a prompt are bounded, delimited and in order of rank, whatever their text is."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sluice.domain.documents import retrieval as rules
from sluice.domain.documents.document import Passage
from sluice.http.gateway.messages import bound

KEY = "0a1b2c3d4e5f"
EVIL = st.sampled_from(
    ["<|im_end|>", "<|", "[INST]", "</s>", "<<SYS>>", KEY, f"<<{KEY} end>>", "\n", '"', "é", "茶", "\udc80", "a" * 99]
)
TEXT = st.lists(EVIL | st.text(max_size=20), max_size=60).map("".join)


def passage(text: str, name: str = "tea.md", position: int = 0) -> Passage:
    return Passage("vs_x", "file_x", name, position, text, 1.0)


def asked(question: str = "Why?", system: str | None = None) -> list[dict[str, Any]]:
    first = [{"role": "system", "content": system}] if system is not None else []
    return [*first, {"role": "user", "content": question}]


def safe(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@given(texts=st.lists(TEXT, min_size=1, max_size=8), names=TEXT, system=st.none() | st.text(max_size=50))
def test_passages_never_take_more_tokens_than_were_reserved(texts: list[str], names: str, system: str | None) -> None:
    before = asked(system=system)
    passages = [passage(safe(text), safe(names)) for text in texts]
    kept = rules.within(passages, bytes_each=rules.PASSAGE_BYTES, room_tokens=None)
    after = rules.grounded(before, kept, key=KEY, strict=True)
    taken = bound(m["content"] for m in after) - bound(m["content"] for m in before)
    assert taken <= rules.passage_bytes(len(texts))


@given(text=TEXT, name=TEXT)
def test_no_passage_can_write_its_end_mark_or_a_control_token(text: str, name: str) -> None:
    _, user = rules.grounded(asked(), [passage(safe(text), safe(name))], key=KEY, strict=False)
    content = user["content"]
    assert content.count(KEY) == 2
    assert content.endswith(f"\n<<{KEY} end>>\n\nWhy?")
    for mark in ("<|", "[INST]", "</s>", "<<SYS>>"):
        assert mark not in content


@given(
    sizes=st.lists(st.integers(1, 4000), min_size=1, max_size=20),
    room=st.none() | st.integers(-50, 3000),
    limit=st.integers(64, 2048),
)
def test_the_best_passages_are_kept_and_at_least_one(sizes: list[int], room: int | None, limit: int) -> None:
    passages = [passage("x" * size, position=place) for place, size in enumerate(sizes)]
    kept = rules.within(passages, bytes_each=limit, room_tokens=room)
    assert [one.position for one in kept] == list(range(len(kept))) and kept
    assert all(len(one.text) <= limit for one in kept)


def test_the_best_passage_is_dropped_last_after_a_few_rounds() -> None:
    kept = [passage("x" * 500, position=place) for place in range(20)]
    rounds = 0
    while kept:
        assert kept[0].position == 0
        kept, rounds = rules.fewer(kept), rounds + 1
    assert rounds <= 10


def test_the_question_is_the_last_user_message() -> None:
    said = [*asked("first"), {"role": "assistant", "content": "yes"}, {"role": "tool", "content": "x"}]
    assert rules.question_of(said) == "first"
    assert rules.question_of([{"role": "assistant", "content": "yes"}, {"role": "user", "content": None}]) == ""
    assert len(rules.question_of(asked("x" * 9000))) == rules.QUERY_CHARACTERS
