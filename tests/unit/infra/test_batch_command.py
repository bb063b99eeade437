"""`sluice batch`: what it fetches is whole, or is not there."""

from pathlib import Path

import pytest

from infra.commands.batch import Away, Server
from tests.fakes.http_server import answer, scripted_server


def test_answers_that_end_too_early_are_not_taken_for_the_file(tmp_path: Path) -> None:
    target, whole = tmp_path / "rows.jsonl", answer(b'{"custom_id": "a"}\n' * 10)
    with scripted_server() as server:
        asked = Server(server.url, "token")
        server.script(whole[:-50], lambda: None)  # of two steps the connection closes
        with pytest.raises(Away, match="50 bytes are missing"):
            asked.download("file_1", target)
        assert not target.exists()
        server.script(whole)
        asked.download("file_1", target)
        assert target.read_bytes().count(b"\n") == 10
