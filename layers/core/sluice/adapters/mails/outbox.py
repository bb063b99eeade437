"""The local outbox: mails as files in the data directory, one folder an address, shown at `/_local/outbox`.

A file's name is its mail's id, so that a mail that is sent twice appears once.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from sluice.adapters.whole_files import write_whole
from sluice.domain.accounts.account import parse_address
from sluice.domain.errors import ValidationFailed
from sluice.domain.mails.mail import MailUndelivered, Message
from sluice.domain.periods import rfc3339

MAX_SHOWN = 500


class Outbox:
    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "outbox"

    def send(self, message: Message, now_ms: int) -> None:
        """Errors: MailUndelivered."""
        shown = {
            "to": message.to,
            "subject": message.subject,
            "text": message.text,
            "html": message.html,
            "kind": message.kind.value,
            "message_id": message.message_id,
            "sent_ms": now_ms,
        }
        folder = self._folder / _folder_name(message.to)
        try:
            write_whole(folder / f"{message.mail_id}.json", json.dumps(shown).encode())
        except OSError as exc:
            raise MailUndelivered() from exc

    def read(self, to: str | None = None) -> list[dict[str, Any]]:
        """`{to, subject, text, html, kind, message_id, sent_at}`, newest first. Without `to`, of all addresses."""
        pattern = f"{_folder_name(to)}/*.json" if to is not None else "*/*.json"
        mails = [json.loads(path.read_bytes()) for path in self._folder.glob(pattern)]
        mails.sort(key=lambda mail: int(mail["sent_ms"]), reverse=True)
        return [_shown(mail) for mail in mails[:MAX_SHOWN]]


def _shown(mail: dict[str, Any]) -> dict[str, Any]:
    return {**{name: field for name, field in mail.items() if name != "sent_ms"}, "sent_at": rfc3339(mail["sent_ms"])}


def _folder_name(address: str) -> str:
    """The same folder for all spellings of an address. An invalid address gets the name of an empty folder."""
    try:
        key = parse_address(address).key
    except ValidationFailed:
        key = address
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:24]
