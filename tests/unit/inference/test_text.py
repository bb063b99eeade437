import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.inference.engine.text import TextAssembler


def run(pieces: list[bytes], stops: list[str]) -> tuple[str, bool]:
    assembler = TextAssembler(stops)
    out = ""
    for piece in pieces:
        out += assembler.push(piece)
        if assembler.stopped:
            return out, True
    return out + assembler.finish(), assembler.stopped


def test_the_stop_string_that_came_first_is_told() -> None:
    assembler = TextAssembler(["C", "B"])
    assert assembler.push(b"aBC") == "a" and assembler.stopped_by == "B"


def test_a_character_split_over_tokens_comes_out_whole() -> None:
    assembler = TextAssembler()
    outs = [assembler.push(bytes([byte])) for byte in "é€😀".encode()]
    assert "".join(outs) == "é€😀"
    assert "�" not in "".join(outs)


def test_an_incomplete_last_character_becomes_one_replacement_character() -> None:
    assert run([b"ok", "😀".encode()[:2]], []) == ("ok�", False)


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_stop_string_split_over_tokens_is_found_and_dropped(cut: int) -> None:
    text = b"before STOP! after"
    pieces = [text[at : at + cut] for at in range(0, len(text), cut)]
    assert run(pieces, ["STOP!"]) == ("before ", True)


def test_text_that_only_began_like_a_stop_string_is_returned() -> None:
    assert run([b"a ST", b"OP without it"], ["STOP!"]) == ("a STOP without it", False)


def test_held_back_text_is_returned_at_the_end() -> None:
    assert run([b"ends with ST"], ["STOP!"]) == ("ends with ST", False)


def test_the_first_of_several_stops_wins() -> None:
    assert run([b"one two three"], ["three", "two"]) == ("one ", True)


def test_only_a_possible_stop_string_is_held_back() -> None:
    assembler = TextAssembler(["END"])
    assert assembler.push(b"no such thing") == "no such thing"
    assert assembler.push(b" E") == " "
    assert assembler.push(b"x") == "Ex"


TEXTS = st.text(alphabet="ab€😀 \n", max_size=40)
STOPS = st.lists(st.text(alphabet="ab€", min_size=1, max_size=4), max_size=3)


@given(TEXTS, STOPS, st.data())
def test_any_split_finds_what_a_search_in_the_whole_text_finds(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    found = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    got, stopped = run(pieces, stops)
    assert stopped == bool(found)
    if not found:
        assert got == text
    else:  # a stop may complete before an overlapping one that begins earlier does
        assert text.startswith(got) and not any(stop in got for stop in stops)
