"""The request header `Prefer` (RFC 7240), of which `wait` is understood. What is unknown or malformed is ignored."""

import re

HEADER, APPLIED = "Prefer", "Preference-Applied"
MOST_WAIT_SECONDS = 60
BLANKS = " \t"
WORD = re.compile(r'"?([0-9]+)"?')  # a quoted string means the same as a token


def wait_seconds(header: str) -> int:
    """For how many seconds the client would wait for an answer, at most `MOST_WAIT_SECONDS`; 0 if it does not say.
    Only the first `wait` counts (section 2). Several headers are one, with commas between them."""
    for preference in _split(header, ","):
        name, _, value = _split(preference, ";")[0].partition("=")
        if name.strip(BLANKS).lower() == "wait":
            return _seconds(value.strip(BLANKS))
    return 0


def _seconds(value: str) -> int:
    found = WORD.fullmatch(value)
    if found is None or value.count('"') == 1:
        return 0
    digits = found[1].lstrip("0")
    return MOST_WAIT_SECONDS if len(digits) > 2 else min(MOST_WAIT_SECONDS, int(digits or 0))


def _split(text: str, separator: str) -> list[str]:
    """Where the separator is in no quoted string. One without an end has the rest of the text."""
    parts, quoted, escaped = [""], False, False
    for character in text:
        if character == separator and not quoted:
            parts.append("")
            continue
        if character == '"' and not escaped:
            quoted = not quoted
        escaped = quoted and character == "\\" and not escaped
        parts[-1] += character
    return parts
