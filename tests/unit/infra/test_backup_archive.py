"""The form of a backup, and what is refused of one that was cut, changed, or made by somebody else."""

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from infra.backup import age, archive
from infra.backup.age import CHANGED, WRONG
from infra.backup.archive import MANIFEST, STORE, Manifest
from infra.backup.errors import BackupRefused
from infra.migrations.record import NewerStore
from infra.migrations.steps import CURRENT

PASSPHRASE = "a quiet green harbour"
FACTS = Manifest(CURRENT, "sluice-", 1_790_000_000_000, {"sluice-ledger": 2}, {"requests": 2})
CONTENT = {STORE: random.Random(0).randbytes(20_000), "keys/jwks.json": b"{}", "documents/files/usr_a/file_b": b"tea\n"}


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(age, "WORK", 2)


@pytest.fixture(params=["", PASSPHRASE], ids=["plain", "encrypted"])
def passphrase(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def made(folder: Path, passphrase: str) -> tuple[bytes, Manifest]:
    file = io.BytesIO()
    with archive.written(file, passphrase) as writer:
        for name, content in CONTENT.items():
            (folder / "content").write_bytes(content)
            writer.add(name, folder / "content")
        manifest = replace(FACTS, files=writer.files)
        writer.end(manifest)
    return file.getvalue(), manifest


def read(raw: bytes, into: Path | None = None, passphrase: str = PASSPHRASE) -> Manifest:
    return archive.read(io.BytesIO(raw), lambda: passphrase, lambda name: into / name if into else None)


def test_what_was_written_is_read_and_only_its_owner_may(tmp_path: Path, passphrase: str) -> None:
    raw, manifest = made(tmp_path, passphrase)
    assert read(raw, tmp_path / "out") == manifest
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in found} == CONTENT
    assert {path.stat().st_mode & 0o777 for path in found} == {0o600}
    assert (b"sluice-ledger" in raw) is False and raw.startswith(b"age-encryption.org" if passphrase else b"\x1f\x8b")


def test_each_cut_is_refused_in_words(tmp_path: Path, passphrase: str) -> None:
    raw, _ = made(tmp_path, passphrase)
    for size in [*range(30, len(raw), 41), len(raw) - 1]:
        with pytest.raises(BackupRefused, match=CHANGED):
            read(raw[:size])


def test_a_changed_byte_is_refused_or_changes_nothing(tmp_path: Path, passphrase: str) -> None:
    raw, manifest = made(tmp_path, passphrase)
    dice, places = random.Random(2), range(0, len(raw), 23)
    refused = 0
    for at in places:
        changed = bytearray(raw)
        changed[at] ^= 1 << dice.randrange(8)
        try:
            assert read(bytes(changed)) == manifest
        except BackupRefused:
            refused += 1
    assert (
        refused == len(places) if passphrase else refused > 0.9 * len(places)
    )  # gzip's head has bytes without meaning


def test_another_passphrase_and_another_file_are_refused_in_words(tmp_path: Path) -> None:
    raw, _ = made(tmp_path, PASSPHRASE)
    with pytest.raises(BackupRefused, match=WRONG):
        read(raw, passphrase="something else")
    for other in (b"", b"x", b"SQLite format 3\0" * 9, b"PK\3\4"):
        with pytest.raises(BackupRefused, match="no backup of Sluice"):
            read(other)
    for other in (gzip.compress(b""), gzip.compress(b"hello" * 999)):
        with pytest.raises(BackupRefused, match=CHANGED):
            read(other)


Change = Callable[[tarfile.TarFile], None]


def of(name: str, content: bytes = b"x", **fields: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = len(content) if fields.get("type", tarfile.REGTYPE) == tarfile.REGTYPE else 0
    for field, value in fields.items():
        setattr(member, field, value)
    return member


def forged(manifest: Manifest, *others: tuple[tarfile.TarInfo, bytes], after: bool = False) -> bytes:
    """A backup with further members, all named in its manifest as a forger would."""
    file = io.BytesIO()
    files = {STORE: hashlib.sha256(b"").hexdigest()}
    files |= {member.name: hashlib.sha256(content).hexdigest() for member, content in others}
    text = json.dumps(asdict(replace(manifest, files=files))).encode()
    with gzip.open(file, "wb") as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        members = [(of(STORE, b""), b""), *others, (of(MANIFEST, text), text)]
        for member, content in members[:1] + members[:1:-1] + members[1:2] if after else members:
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


LINKS = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}


@pytest.mark.parametrize(
    "member",
    [
        *map(of, ("../x", "/etc/x", "keys/../../x", "keys/..", "keys/a/b", "documents/../x", "documents/files/..")),
        *map(of, ("run/lock", "store.db-wal", "store.db/x", "documents/x", "keys/.x", "", "keys/a\nb", "x")),
        of("keys/x", **LINKS),
        of("keys/x", type=tarfile.LNKTYPE, linkname="store.db"),
        of("keys/x", type=tarfile.DIRTYPE),
        of("keys/x", type=tarfile.FIFOTYPE),
        of(STORE),
    ],
    ids=lambda member: f"{member.name!r} {member.type!r}",
)
def test_no_name_leads_outside_and_no_link_is_made(tmp_path: Path, member: tarfile.TarInfo) -> None:
    outside = tmp_path / "outside"
    (outside / "in").mkdir(parents=True)
    with pytest.raises(BackupRefused):
        read(forged(FACTS, (member, b"x")), outside / "in")
    assert {path.name for path in outside.rglob("*")} <= {"in", STORE}


def test_nothing_may_follow_the_manifest(tmp_path: Path) -> None:
    assert read(forged(FACTS, (of("keys/x"), b"x")), tmp_path / "right").rows == FACTS.rows
    with pytest.raises(BackupRefused, match=CHANGED):
        read(forged(FACTS, (of("keys/x"), b"x"), after=True), tmp_path / "wrong")


def test_a_newer_format_and_a_newer_store_are_refused_in_words() -> None:
    with pytest.raises(BackupRefused, match=r"made by Sluice 9\.9: use that version or a newer one"):
        read(forged(replace(FACTS, format=2, version="9.9")))
    with pytest.raises(NewerStore, match=f"its schema is {CURRENT + 1}, this version knows {CURRENT}"):
        read(forged(replace(FACTS, schema=CURRENT + 1)))
