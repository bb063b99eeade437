"""The local outbox: concurrent writers, newest mail first, one folder for all spellings of an address."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sluice.adapters.mails.outbox import MAX_SHOWN, Outbox
from sluice.adapters.mails.render import render
from sluice.domain.mails.mail import Kind, MailUndelivered, Message, new_mail

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`

NOW_MS = 1_800_000_000_000


def message(place: int, to: str = "ann@example.com") -> Message:
    mail = new_mail(Kind.VERIFY_EMAIL, account_id="usr_a", to=to, now_ms=NOW_MS, mail_id=f"mail_{place}")
    return render(mail, f"mail_{place}.code", base_url="http://127.0.0.1:8080", sender="Sluice <no-reply@localhost>")


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path)


def test_an_outbox_without_mails_is_empty(outbox: Outbox) -> None:
    assert outbox.read() == outbox.read("ann@example.com") == []


def test_the_newest_mail_comes_first(outbox: Outbox) -> None:
    for place in (3, 1, 2):
        outbox.send(message(place), NOW_MS + place * 1000)
    shown = outbox.read("ann@example.com")
    assert [mail["message_id"] for mail in shown] == [f"<mail_{place}@localhost>" for place in (3, 2, 1)]
    assert [mail["sent_at"][-3:] for mail in shown] == ["03Z", "02Z", "01Z"]
    assert set(shown[0]) == {"to", "subject", "text", "html", "kind", "message_id", "sent_at"}


def test_concurrent_writers_and_readers_lose_no_mail_and_see_no_partial_one(outbox: Outbox) -> None:
    def write_and_read(place: int) -> int:
        outbox.send(message(place, f"p{place % 3}@example.com"), NOW_MS + place)
        return len(outbox.read())

    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(write_and_read, range(100)))
    assert min(counts) >= 1 and len(outbox.read()) == 100
    assert sorted(len(outbox.read(f"p{place}@example.com")) for place in range(3)) == [33, 33, 34]


def test_the_same_mail_sent_many_times_at_once_is_stored_once(outbox: Outbox) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: outbox.send(message(1), NOW_MS), range(32)))
    assert len(outbox.read()) == 1


def test_all_spellings_of_an_address_find_its_mails_only(outbox: Outbox) -> None:
    outbox.send(message(1, "Ann@bücher.example"), NOW_MS)
    outbox.send(message(2, "eve@example.com"), NOW_MS)
    for spelling in ("Ann@bücher.example", "ANN@BÜCHER.example", "ann@xn--bcher-kva.example"):
        assert [mail["to"] for mail in outbox.read(spelling)] == ["Ann@bücher.example"]
    for other in ("", "*", "../../*", "no address", "\x00", "\ud800", "a" * 10_000):
        assert outbox.read(other) == []


def test_only_the_owner_may_read_the_files_of_mails(outbox: Outbox, tmp_path: Path) -> None:
    outbox.send(message(1), NOW_MS)
    (file,) = tmp_path.glob("outbox/*/*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_bytes())["kind"] == "verify_email"


def test_the_number_of_shown_mails_is_limited(outbox: Outbox, tmp_path: Path) -> None:
    outbox.send(message(0), NOW_MS)
    (file,) = tmp_path.glob("outbox/*/*.json")
    for place in range(1, MAX_SHOWN + 5):
        (file.parent / f"mail_{place}.json").write_text(file.read_text())
    assert len(outbox.read()) == MAX_SHOWN


def test_a_mail_that_cannot_be_written_is_undelivered(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file in its place")
    with pytest.raises(MailUndelivered):
        Outbox(tmp_path).send(message(1), NOW_MS)
