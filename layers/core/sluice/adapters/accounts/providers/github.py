"""GitHub, and GitHub Enterprise Server: OAuth 2 without an id token, so GitHub itself is asked who the code is for."""

from collections.abc import Callable, Mapping

from sluice.adapters.accounts.providers import fetch
from sluice.domain.accounts.identities import Claimed, SignInRefused, Started

PUBLIC, PUBLIC_API = "https://github.com", "https://api.github.com"
SCOPE = "read:user user:email"


class GitHub:
    """`sluice.ports.Provider`. `base`: where people log in, `https://github.com` or a server of one's own."""

    def __init__(self, name: str, title: str, base: str, client_id: str, secret: Callable[[], str]) -> None:
        self.name, self.title = name, title
        self._base = base.rstrip("/")
        self._api = PUBLIC_API if self._base == PUBLIC else self._base + "/api/v3"
        self._client_id, self._secret = client_id, secret

    def address(self, started: Started, back: str) -> str:
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        with fetch.answering(self.name, self.title):
            to = fetch.require_safe(self._base + "/login/oauth/authorize", self._base)
        challenge = create_s256_code_challenge(started.verifier)
        more = {"code_challenge": challenge, "code_challenge_method": "S256"}
        return str(prepare_grant_uri(to, self._client_id, "code", back, SCOPE, started.state, **more))

    def claimed(self, started: Started, answer: Mapping[str, str], back: str) -> Claimed:
        if answer.get("error") or not answer.get("code"):
            raise SignInRefused()
        with fetch.answering(self.name, self.title):
            form = {
                "client_id": self._client_id,
                "client_secret": self._secret(),
                "code": answer["code"],
                "redirect_uri": back,
                "code_verifier": started.verifier,
            }
            told = fetch.post(self._base + "/login/oauth/access_token", form)
            if "error" in told:  # GitHub says so with a status of 200
                raise SignInRefused()
            access_token = str(told["access_token"])
            user = fetch.get(self._api + "/user", access_token)
            if not isinstance(user["id"], int):
                raise fetch.Unusable("a user without a number")
            emails = fetch.get(self._api + "/user/emails", access_token)
            name = user.get("name")
            return Claimed(self._base, str(user["id"]), _primary(emails), name if isinstance(name, str) else "")


def _primary(emails: list[Mapping[str, object]]) -> str:
    """The one that is primary and verified."""
    found = (one["email"] for one in emails if one["primary"] is True and one["verified"] is True)
    return str(next(found, ""))
