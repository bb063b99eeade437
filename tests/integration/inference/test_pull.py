"""`sluice model pull` against a real HTTP server on this machine."""

import hashlib
import socket
from pathlib import Path

import pytest

from functions.inference.models.catalogue import CatalogueModel
from functions.inference.models.model_file import expected_sha256
from infra.models.given import entry_of
from infra.models.listing import list_models
from infra.models.pulling import PullError
from infra.models.pulling import pull as pull_entry
from infra.models.terms import Asker
from tests.gguf import gguf
from tests.integration.inference.range_server import FileHost, serving

CONTENT = gguf({"general.architecture": "qwen2", "general.file_type": 7}) + bytes(range(256)) * 8000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def known(url: str, sha256: str | None = SHA256, size_bytes: int | None = len(CONTENT)) -> dict[str, CatalogueModel]:
    entry = CatalogueModel(name="small", url=url, sha256=sha256, size_bytes=size_bytes)
    return {"small": entry}


def never(_entry: CatalogueModel, _terms: str | None) -> bool:
    raise AssertionError("no licence needs to be asked for")


def pull(name: str, models_dir: Path, entries: dict[str, CatalogueModel], ask: Asker = never) -> Path:
    return pull_entry(entry_of(name, known=entries), models_dir, ask, show_progress=False)


def test_a_model_is_pulled_checked_and_listed(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT)) as host:
        before = list_models(tmp_path, known(host.url))
        path = pull("small", tmp_path, known(host.url))
        after = list_models(tmp_path, known(host.url))
    assert path.read_bytes() == CONTENT
    assert [before[0].state, after[0].state] == ["not pulled", "pulled"]
    assert not list(tmp_path.glob("*.part"))


def test_a_pull_before_the_first_start_makes_a_private_data_directory(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT)) as host:
        path = pull("small", tmp_path / "data" / "models", known(host.url))
    assert [folder.stat().st_mode & 0o777 for folder in path.parents[:2]] == [0o700, 0o700]


def test_a_second_pull_downloads_nothing(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT)) as host:
        pull("small", tmp_path, known(host.url))
        pull("small", tmp_path, known(host.url))
    assert len(host.asked) == 1


def test_a_broken_download_is_resumed(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT, break_after=[500_000, 300_000])) as host:
        path = pull("small", tmp_path, known(host.url))
    assert path.read_bytes() == CONTENT
    assert host.asked[0] is None
    assert len(host.asked) == 3
    assert all(asked and asked.startswith("bytes=") for asked in host.asked[1:])


def test_a_pull_resumes_the_part_file_of_an_earlier_process(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT, break_after=[400_000] + [0] * 9)) as host:
        with pytest.raises(PullError, match="resume"):
            pull("small", tmp_path, known(host.url))
        left = (tmp_path / "small.gguf.part").stat().st_size
        host.break_after.clear()
        path = pull("small", tmp_path, known(host.url))
    assert left == 400_000
    assert host.asked[-1] == "bytes=400000-"
    assert path.read_bytes() == CONTENT


def test_a_complete_part_file_is_only_renamed(tmp_path: Path) -> None:
    (tmp_path / "small.gguf.part").write_bytes(CONTENT)
    with serving(FileHost(CONTENT)) as host:
        assert pull("small", tmp_path, known(host.url)).read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT, ranges=False, break_after=[500_000])) as host:
        path = pull("small", tmp_path, known(host.url))
    assert path.read_bytes() == CONTENT


def test_a_file_that_changed_is_downloaded_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "small.gguf.part").write_bytes(b"old beginning")
    (tmp_path / "small.gguf.part.etag").write_text('"other"')
    with serving(FileHost(CONTENT)) as host:
        assert pull("small", tmp_path, known(host.url)).read_bytes() == CONTENT


def test_a_part_file_longer_than_the_model_is_discarded(tmp_path: Path) -> None:
    (tmp_path / "small.gguf.part").write_bytes(CONTENT + b"too much")
    with serving(FileHost(CONTENT)) as host:
        assert pull("small", tmp_path, known(host.url)).read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT)) as host, pytest.raises(PullError, match="SHA-256"):
        pull("small", tmp_path, known(host.url, sha256="0" * 64))
    assert not list(tmp_path.glob("*.gguf*.part"))
    assert not (tmp_path / "small.gguf").exists()


def test_a_wrong_size_is_refused(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT)) as host, pytest.raises(PullError, match="bytes and should have"):
        pull("small", tmp_path, known(host.url, size_bytes=7))


def test_an_error_page_is_refused_as_a_model(tmp_path: Path) -> None:
    with serving(FileHost(b"<html>sign in</html>")) as host, pytest.raises(PullError, match="not a GGUF"):
        pull("small", tmp_path, known(host.url, None, None))


def test_404_is_reported(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT)) as host, pytest.raises(PullError, match="answered 404"):
        pull("small", tmp_path, known(host.url.replace("model", "nothing")))


def test_a_missing_network_is_reported(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/model.gguf"
        with pytest.raises(PullError, match="check the network"):
            pull("small", tmp_path, known(url))


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(PullError, match="small"):
        pull("big", tmp_path, known("http://127.0.0.1:1/"))


def test_the_first_pull_records_the_hash_where_the_catalogue_has_none(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT)) as host:
        path = pull("small", tmp_path, known(host.url, None, None))
    assert expected_sha256(path, None) == SHA256


def test_the_bundled_model_is_listed_as_installed(tmp_path: Path) -> None:
    states = {model.name: model.state for model in list_models(tmp_path)}
    assert states["demo"] == "bundled"
    assert states["qwen2.5-0.5b-instruct"] == "not pulled"
