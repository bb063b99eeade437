"""DKIM: what SmtpMail signs, checked by the rules of RFC 6376 with `cryptography` alone, and by dkimpy's verifier."""

import base64
import hashlib
import re
import threading
from pathlib import Path
from typing import Any

import dkim
import pytest
from click.testing import CliRunner
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from infra.cli import main
from sluice import settings
from sluice.adapters.mails.render import render
from sluice.adapters.mails.signing import Signer, key_file, make_key, public_key
from sluice.adapters.mails.smtp import SmtpMail
from sluice.domain.mails.mail import Kind, MailUndelivered, new_mail
from sluice.domain.mails.servers import SmtpServer
from tests.unit.mails.smtp_server import Behaviour, smtp_server

NOW_MS = 1_800_000_000_000


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    file = key_file(tmp_path, "s1")
    assert make_key(file) and not make_key(file)
    assert file.stat().st_mode & 0o777 == 0o600 and list(file.parent.iterdir()) == [file]
    return Signer("s1", file)


def sent(signer: Signer, **about: Any) -> bytes:
    to = about.pop("to", "ann@example.com")
    mail = new_mail(Kind.VERIFY_EMAIL, account_id="usr_a", to=to, now_ms=NOW_MS, mail_id="mail_x")
    known = {"base_url": "https://api.example.com", "sender": "Sluice <no-reply@example.org>", **about}
    with smtp_server(Behaviour(extensions=("SMTPUTF8", "8BITMIME"))) as server:
        SmtpMail(SmtpServer("127.0.0.1", server.port), signer=signer).send(render(mail, "mail_x.c", **known), NOW_MS)
    return server.received[0].raw


def relaxed(header: str) -> str:
    name, _, value = header.partition(":")
    return name.strip().lower() + ":" + re.sub(r"[ \t\r\n]+", " ", value).strip()


def verify(raw: bytes, public: str) -> dict[str, str]:
    """The signature's tags. Errors: InvalidSignature, AssertionError (the body)."""
    head, _, body = raw.decode("utf-8", "surrogateescape").partition("\r\n\r\n")
    headers = re.split(r"\r\n(?![ \t])", head)
    assert headers[0].startswith("DKIM-Signature:")
    tags = {name.strip(): re.sub(r"\s", "", value) for name, _, value in
            (part.partition("=") for part in headers[0].partition(":")[2].split(";"))}  # fmt: skip
    lines = [re.sub(r"[ \t]+", " ", line).rstrip(" ") for line in body.split("\r\n")]
    canonical = "\r\n".join(lines).rstrip("\r\n") + "\r\n"
    hashed = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).digest()
    assert base64.b64encode(hashed).decode() == tags["bh"]
    left, chosen = list(headers[1:]), []
    for name in tags["h"].lower().split(":"):
        matching = [one for one in left if one.lower().startswith(name + ":")]
        if matching:
            left.remove(matching[-1])
            chosen.append(relaxed(matching[-1]))
    own = relaxed(re.sub(r"(;\s*b=)[^;]*", r"\1", headers[0]))
    text = "\r\n".join([*chosen, own]).encode("utf-8", "surrogateescape")
    key = load_der_public_key(base64.b64decode(public))
    assert isinstance(key, RSAPublicKey) and key.key_size == 2048
    key.verify(base64.b64decode(tags["b"]), text, PKCS1v15(), hashes.SHA256())
    return tags


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"site": "Ada's models — 模型 " + "x" * 2000},
        {"to": "jürgen@bücher.example"},
        {"sender": "模型 <a@example.org>"},
    ],
    ids=["plain", "long and other scripts", "an address outside ASCII", "a sender's name"],
)
def test_a_signed_mail_is_verified_as_it_arrived(signer: Signer, about: dict[str, str]) -> None:
    raw = sent(signer, **about)
    tags = verify(raw, public_key(signer.file))
    assert (tags["d"], tags["s"], tags["a"], tags["c"]) == ("example.org", "s1", "rsa-sha256", "relaxed/relaxed")
    assert {"from", "to", "subject", "date", "message-id"} <= set(tags["h"].lower().split(":"))
    record = f"v=DKIM1; k=rsa; p={public_key(signer.file)}".encode()
    assert dkim.verify(raw, dnsfunc=lambda name, **_: record if name == b"s1._domainkey.example.org." else b"")


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (b"Subject: Verify", b"Subject: Pay"),
        (b"Welcome to", b"Farewell,"),
        (b"\r\nDate:", b"\r\nFrom: eve@example.net\r\nDate:"),
    ],
    ids=["subject", "text", "a second From"],
)  # fmt: skip
def test_a_changed_mail_is_not_verified(signer: Signer, was: bytes, becomes: bytes) -> None:
    raw = sent(signer)
    assert was in raw
    with pytest.raises((InvalidSignature, AssertionError)):
        verify(raw.replace(was, becomes, 1), public_key(signer.file))


@pytest.mark.parametrize("key", [None, b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_without_a_usable_key_the_mail_waits(signer: Signer, key: bytes | None) -> None:
    signer.file.unlink() if key is None else signer.file.write_bytes(key)
    with pytest.raises(MailUndelivered):
        sent(signer)


def test_two_commands_at_once_make_one_key(tmp_path: Path) -> None:
    file, made = key_file(tmp_path, "s1"), list[bool]()
    threads = [threading.Thread(target=lambda: made.append(make_key(file))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False, False, False, True] and list(file.parent.iterdir()) == [file]


def test_the_command_prints_the_record_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SLUICE_MAIL_FROM", "Sluice <no-reply@example.org>")
    settings.mailer.cache_clear()
    try:
        first, second = (CliRunner().invoke(main, ["keys", "dkim", "s1"]) for _ in range(2))
        assert CliRunner().invoke(main, ["keys", "dkim", "../s1"]).exit_code == 1
    finally:
        settings.mailer.cache_clear()
    assert first.exit_code == second.exit_code == 0 and first.stdout == second.stdout
    assert first.stdout == f"s1._domainkey.example.org TXT\nv=DKIM1; k=rsa; p={public_key(key_file(tmp_path, 's1'))}\n"
