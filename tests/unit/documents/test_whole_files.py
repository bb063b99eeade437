"""Whole files, beside whoever clears away empty folders."""

from pathlib import Path

import pytest

from sluice.adapters import whole_files


def test_folder_that_is_cleared_away_before_its_first_file_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "account" / "run" / "1"
    draft_of, times = whole_files.draft_of, []

    def after_a_clearing(path: Path, content: bytes, mode: int) -> Path:
        times.append(path)
        if len(times) == 1:
            path.parent.rmdir()
            path.parent.parent.rmdir()
        return draft_of(path, content, mode)

    monkeypatch.setattr(whole_files, "draft_of", after_a_clearing)
    whole_files.write_whole(path, b"event")
    assert path.read_bytes() == b"event" and len(times) == 2
