"""A browser's description contains only known words, whatever the User-Agent header says."""

import pytest

from sluice.domain.accounts.user_agents import device

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36"


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (CHROME, "Chrome on Windows"),
        (CHROME + " Edg/156.0", "Edge on Windows"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0", "Firefox on Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1", "Safari on an iPhone"),
        ("Mozilla/5.0 (Linux; Android 16) Chrome/156.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Firefox/1", "Firefox"),
        ("curl/8.0", "curl"),
        ("python-requests/2.32.3", "Python"),
        ("my curl/8.0", "a program"),
        ("", "a program"),
        ("Your account is lost, call +1 555", "a program"),
    ],
)
def test_a_user_agent_is_described_in_known_words_only(user_agent: str, words: str) -> None:
    assert device(user_agent) == words
