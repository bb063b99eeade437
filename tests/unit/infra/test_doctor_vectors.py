"""`sluice doctor` says whether documents have vectors of the current embedding model."""

from pathlib import Path

import pytest

from infra.doctor import configuration


def said(data_dir: Path, monkeypatch: pytest.MonkeyPatch, state: bytes | None) -> list[tuple[str, str]]:
    monkeypatch.setenv("SLUICE_DATA_DIR", str(data_dir))
    if state is not None:
        path = data_dir / "documents" / "vectors" / "_" / "model"
        path.parent.mkdir(parents=True)
        path.write_bytes(state)
    return [(finding.kind, finding.text) for finding in configuration.vectors()]


@pytest.mark.parametrize("state", [None, b"", b"garbage", b"[]", b'{"model": "m"}'])
def test_nothing_is_said_where_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: bytes | None
) -> None:
    assert said(tmp_path, monkeypatch, state) == []


def test_a_change_of_the_model_is_said_until_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((kind, text),) = said(tmp_path / "a", monkeypatch, b'{"model": "m@2", "after": "index/usr_a/vs_1.db"}')
    assert kind == "note" and "new vectors with m@2" in text
    ((kind, text),) = said(tmp_path / "b", monkeypatch, b'{"model": "m@2", "after": null}')
    assert kind == "ok" and "m@2" in text


def test_the_embedding_model_is_named_and_a_file_that_is_none_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert any("embedding model all-minilm-l6-v2" in finding.text for finding in configuration.model())
    monkeypatch.setenv("SLUICE_INFERENCE_EMBEDDINGS_MODEL", "demo")
    (bad,) = [finding for finding in configuration.model() if finding.kind == "problem"]
    assert "generates text and makes no embeddings" in bad.text
