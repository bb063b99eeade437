"""Password hashes: their parameters, and where they run."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Lock

import pytest

from sluice.adapters.accounts import passwords
from sluice.adapters.accounts.passwords import PARALLEL_HASHES, Passwords
from sluice.domain.errors import Overloaded

HASHES = Passwords()


def test_a_hash_is_argon2id_with_owasps_parameters_and_verifies() -> None:
    password_hash = HASHES.hash("correct horse")
    assert password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert HASHES.verify(password_hash, "correct horse")
    assert not HASHES.verify(password_hash, "correct horsE")
    assert HASHES.hash("correct horse") != password_hash


def test_without_a_hash_no_password_matches_not_even_the_dummys() -> None:
    assert not HASHES.verify(None, "nobody's password")


def test_a_damaged_hash_matches_no_password() -> None:
    assert not HASHES.verify("$argon2id$garbled", "correct horse")


def test_the_same_password_in_two_unicode_forms_verifies() -> None:
    assert HASHES.verify(HASHES.hash("cafe\u0301"), "caf\u00e9")


def test_few_hashes_run_at_once_and_a_caller_that_waits_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAIT_SECONDS", 0.05)
    hashes, all_in, go_on = Passwords(), Barrier(PARALLEL_HASHES + 1), Event()
    lock, running, most = Lock(), 0, 0

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        all_in.wait(10)
        go_on.wait(10)
        with lock:
            running -= 1

    with ThreadPoolExecutor(PARALLEL_HASHES) as pool:
        done = [pool.submit(hashes._run, work) for _ in range(PARALLEL_HASHES)]
        all_in.wait(10)
        with pytest.raises(Overloaded):
            hashes.hash("one too many")
        go_on.set()
        for one in done:
            one.result(10)
    assert most == PARALLEL_HASHES
    assert hashes.hash("room again")
