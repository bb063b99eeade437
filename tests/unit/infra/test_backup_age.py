"""Backups are encrypted in the format age v1. The files of tests/data/age were written by age itself (filippo.io/age
1.3.2), with a work factor of 10."""

import io
import random
from pathlib import Path

import pytest

from infra.backup import age
from infra.backup.age import CHANGED, PIECE_BYTES, WRONG, Decrypted, Encrypted
from infra.backup.errors import BackupRefused

PASSPHRASE = "a quiet green harbour"
BY_AGE = Path(__file__).parents[2] / "data" / "age"
SIZES = {"empty": 0, "one-piece": PIECE_BYTES, "two-pieces": PIECE_BYTES + 1}


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(age, "WORK", 2)


def content(size: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(size))


def encrypted(clear: bytes) -> bytes:
    file = io.BytesIO()
    with Encrypted(file, PASSPHRASE) as writer:
        for at in range(0, len(clear), 10_000):
            writer.write(clear[at : at + 10_000])
    return file.getvalue()


def decrypted(raw: bytes, passphrase: str = PASSPHRASE) -> bytes:
    return Decrypted(io.BytesIO(raw), passphrase).read()


@pytest.mark.parametrize("name", SIZES)
def test_a_file_of_age_itself_is_read(name: str) -> None:
    assert decrypted((BY_AGE / f"{name}.age").read_bytes()) == content(SIZES[name])


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_what_was_written_is_read_again(size: int) -> None:
    assert decrypted(encrypted(content(size))) == content(size)


def test_nothing_of_the_content_is_in_the_file_and_no_two_files_are_alike() -> None:
    clear = b"password_hash" * 10_000
    assert b"password_hash" not in encrypted(clear)
    assert encrypted(clear)[-PIECE_BYTES:] != encrypted(clear)[-PIECE_BYTES:]


def test_another_passphrase_is_refused_in_words() -> None:
    with pytest.raises(BackupRefused, match=WRONG):
        decrypted(encrypted(b"x"), "a quiet green harbor")


def test_every_changed_byte_is_noticed() -> None:
    raw, dice = encrypted(content(2 * PIECE_BYTES + 9)), random.Random(1)
    head = raw.index(b"---") + 3 + 45 + 16
    for at in [*range(head), *dice.sample(range(head, len(raw)), 200), len(raw) - 1]:
        changed = bytearray(raw)
        changed[at] ^= 1 << dice.randrange(8)
        with pytest.raises(BackupRefused):
            decrypted(bytes(changed))


def test_pieces_that_are_missing_moved_or_added_are_noticed() -> None:
    raw = encrypted(content(3 * PIECE_BYTES))
    whole = PIECE_BYTES + 16
    head, pieces = raw[: -3 * whole], [raw[-n * whole :][:whole] for n in (3, 2, 1)]
    assert decrypted(head + b"".join(pieces)) == content(3 * PIECE_BYTES)
    for wrong in ([0, 1], [0], [], [0, 2], [1, 0, 2], [0, 1, 2, 2], [0, 1, 2, 0]):
        with pytest.raises(BackupRefused, match=CHANGED):
            decrypted(head + b"".join(pieces[place] for place in wrong))
    with pytest.raises(BackupRefused, match=CHANGED):
        decrypted(raw + b"!")


def test_each_shortened_file_is_noticed() -> None:
    raw = encrypted(content(100))
    for size in range(len(raw)):
        with pytest.raises(BackupRefused, match=CHANGED):
            decrypted(raw[:size])


def test_a_file_that_asks_for_much_memory_is_refused_before_it_gets_it() -> None:
    raw = encrypted(b"x").replace(b" 2\n", b" 30\n", 1)
    with pytest.raises(BackupRefused, match=CHANGED):
        decrypted(raw)
