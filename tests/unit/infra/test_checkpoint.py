from pathlib import Path

import pytest

from infra.local.checkpoint import Checkpoint


def test_the_position_survives_a_restart(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "mails.json", "arn:1").set("shard", "41")
    assert Checkpoint(tmp_path / "mails.json", "arn:1").after("shard") == "41"


def test_a_recreated_table_is_read_from_its_oldest_record(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "mails.json", "arn:1").set("shard", "41")
    assert Checkpoint(tmp_path / "mails.json", "arn:2").after("shard") is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stream":"arn:1"}', '{"stream":"arn:1","after":3}', "null"])
def test_a_damaged_file_means_reading_from_the_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "mails.json").write_text(content)
    checkpoint = Checkpoint(tmp_path / "mails.json", "arn:1")
    assert checkpoint.after("shard") is None
    checkpoint.set("shard", "7")
    assert Checkpoint(tmp_path / "mails.json", "arn:1").after("shard") == "7"
