"""A short name for a browser or program, for mails and the account page. It uses our words only, because the header's
text comes from a stranger."""

from sluice.domain.phrases import later, phrase

BROWSERS = (  # the first match wins, because browsers also name those listed below them
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
PROGRAMS = (
    ("curl/", "curl"),
    ("Wget/", "Wget"),
    ("python-requests/", "Python"),
    ("python-httpx/", "Python"),
    ("Python/", "Python"),
    ("node", "Node.js"),
    ("Go-http-client/", "Go"),
)
SYSTEMS = (
    ("iPhone", later("an iPhone")),
    ("iPad", later("an iPad")),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def device(user_agent: str) -> str:
    """`Firefox on Linux`, `curl`; `a program` if it is neither a known browser nor a known program."""
    browser = _first(BROWSERS, user_agent)
    system = _first(SYSTEMS, user_agent)
    if not browser:
        return next((name for sign, name in PROGRAMS if user_agent.startswith(sign)), phrase("a program"))
    return phrase("%(browser)s on %(system)s", browser=browser, system=system) if system else browser


def _first(known: tuple[tuple[str, str], ...], text: str) -> str:
    return next((name for sign, name in known if sign in text), "")
