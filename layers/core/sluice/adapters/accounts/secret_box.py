"""Secrets of authenticator apps, encrypted before they are stored: a copy of the table alone makes no codes.

AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits. The key is derived from the mailed codes' key, which is
kept apart from the table. The owner's id is authenticated with it, so that no secret serves another account.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CONTEXT = b"sluice second factor 1"  # keeps this key apart from any other use of the mailed codes' key
VERSION, NONCE_BYTES = "1.", 12


class AesGcmBox:
    """`sluice.ports.SecretBox`. `key` reads the secret when the first is sealed or opened."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._secret = key

    def seal(self, secret: str, owner: str) -> str:
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._cipher().encrypt(nonce, secret.encode(), owner.encode())
        return VERSION + base64.urlsafe_b64encode(nonce + sealed).decode()

    def open(self, sealed: str, owner: str) -> str:
        from cryptography.exceptions import InvalidTag

        raw = base64.urlsafe_b64decode(sealed.removeprefix(VERSION))
        try:
            return self._cipher().decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], owner.encode()).decode()
        except InvalidTag as exc:
            raise ValueError("the secret was sealed with another key, or for another account") from exc

    def _cipher(self) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(hmac.digest(self._secret(), CONTEXT, hashlib.sha256))
