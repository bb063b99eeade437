"""A person's mails from the local outbox, by address, newest first."""

import re

from tests.e2e.people import mails_to


def link(base_url: str, address: str, kind: str) -> str:
    """The link in the newest mail of that kind. Waits for the mail."""
    text = mails_to(base_url, address, kind)[0]["text"]
    found = re.search(r"http\S+\?token=\S+", text)
    assert found, text
    return found[0]
