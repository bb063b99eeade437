"""Delete one's own account. This needs the password, because a stolen session must not be enough."""

from dataclasses import dataclass

from sluice.services.accounts.erasure import Erasure
from sluice.services.accounts.passwords import Passwords


@dataclass(frozen=True)
class Deletion:
    passwords: Passwords
    erasure: Erasure

    def delete(self, account_id: str, session_id: str, password: str, now_ms: int, *, is_fresh: bool) -> None:
        """Can be repeated with the same session until it succeeds. Errors: as `Passwords.confirm`."""
        account = self.passwords.confirm(account_id, password, now_ms, is_fresh=is_fresh)
        self.erasure.delete(account, session_id, now_ms)
