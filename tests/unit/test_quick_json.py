"""The quick reader of JSON reads what the standard library reads."""

import json

import pytest

from sluice.domain import quick_json


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, -2.5e3, null, true], "b": "\\u00e9"}',
        '"\\ud83d"',
        '"\\ud83d\\ude00"',
        "123456789012345678901234567890",
        "NaN",
    ],
)
def test_it_reads_what_the_standard_library_reads(text: str) -> None:
    assert repr(quick_json.loads(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize("raw", [b"", b"{", b'{"a":1} x', b"\xff", b"[" * 100])
def test_what_is_no_json_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):
        quick_json.loads(raw)
