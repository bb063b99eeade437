"""docs/api.md's error rows equal the table in the code."""

from sluice.domain import errors
from sluice.http.errors import TABLE, UNEXPECTED, row_for
from sluice.http.titles import TITLES
from tests.contract import api_md

# No code of its own on the wire: OpenAI's envelope has `code: null` there.
CODELESS = frozenset({"invalid_request_error"})


def promised() -> dict[str, set[int]]:
    """Code → the statuses of the rows that name it."""
    found: dict[str, set[int]] = {}
    for row in api_md.error_rows():
        for code in row.codes:
            found.setdefault(code, set()).update(row.statuses)
    return found


def in_code() -> dict[str, int]:
    return {row.code: row.status for row in [*TABLE.values(), UNEXPECTED] if row.code not in CODELESS}


def test_every_code_of_the_table_is_in_the_contract_and_the_reverse() -> None:
    words = {"code", "param", "invalid_request_error"}  # code in the prose
    listener = {"bad_request"}  # infra.local.listener's, before any app
    assert in_code().keys() == promised().keys() - words - listener


def test_every_code_has_the_status_the_contract_gives_it() -> None:
    for code, status in in_code().items():
        # A prompt too long stands in the 422 row's note on /v1, where that row is 400.
        expected = {400} if code == "context_length_exceeded" else promised()[code]
        assert status in expected, code


def test_every_kind_of_error_has_a_row_of_its_own_or_of_an_ancestor() -> None:
    kinds, todo = [], [errors.SluiceError]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        kinds.append(kind)
    ours = [kind for kind in kinds if kind.__module__ == errors.__name__ and kind is not errors.SluiceError]
    assert [kind.__name__ for kind in ours if row_for(kind) is UNEXPECTED] == []


def test_every_status_has_a_title() -> None:
    assert {row.status for row in TABLE.values()} <= TITLES.keys()
