"""Signing keys in SSM: created once, never overwritten, rotated in two steps (docs/adr/0057-keys-in-ssm.md).

/sluice/signing-key       SecureString   the Ed25519 key that signs API tokens; only `tokens` may read it
/sluice/signing-key-next  SecureString   during a rotation: the next signing key
/sluice/mailed-code-key   SecureString   32 bytes, base64
/sluice/jwks              String         every public key that verifies, newest first
"""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sluice.adapters.tokens.keys import MAILED_CODE_KEY_BYTES, SigningKey, jwk, parse_jwks, parse_mailed_code_key
from sluice.adapters.tokens.keys import parse_signing_key as parse

SIGNING, NEXT, MAILED_CODE, JWKS = "signing-key", "signing-key-next", "mailed-code-key", "jwks"


class KeysRefused(Exception):
    """The command would lose keys, or is not possible now."""


@dataclass(frozen=True)
class PublicKeys:
    """`signing` signs now, `coming` after the rotation; the other keys only verify."""

    kids: tuple[str, ...]
    signing: str
    coming: str = ""


@dataclass
class ParameterKeys:
    """`ssm`: boto3's client. `path`: the template's KeyPath. Every method raises botocore's errors, and ValueError with
    the parameter's name for a key that cannot be read, because such a key must not be replaced silently."""

    ssm: Any
    path: str = "/sluice"
    kms_key: str = ""  # empty: the account's default key for SSM
    made: list[str] = field(default_factory=list)

    def init(self) -> list[str]:
        """Make the missing parameters and return their names. Can be repeated, also after it was killed."""
        self._put_if_absent(SIGNING, _new_pem())
        self._put_if_absent(MAILED_CODE, base64.b64encode(secrets.token_bytes(MAILED_CODE_KEY_BYTES)).decode())
        parse_mailed_code_key(self._get(MAILED_CODE).encode(), self._name(MAILED_CODE))
        self._publish(self._signing_key(SIGNING))
        return self.made

    def public(self) -> PublicKeys:
        coming = self._find(NEXT)
        kids = tuple(self._published())
        return PublicKeys(kids, self._signing_key(SIGNING).kid, parse(coming.encode(), NEXT).kid if coming else "")

    def rotate(self) -> str:
        """Make the next key and publish it beside the old one. It does not sign yet. Returns its kid.

        Gateways read the published keys at their start, so the key may sign only after all have restarted.
        """
        self._put_if_absent(NEXT, _new_pem())
        coming = self._signing_key(NEXT)
        self._publish(coming)
        return coming.kid

    def finish_rotation(self) -> str:
        """Sign with the next key from now on; the old one still verifies. Returns the kid. Raises KeysRefused."""
        pem = self._find(NEXT)
        if pem is None:
            raise KeysRefused("There is no next key. Run `sluice keys rotate --aws` first.")
        coming = parse(pem.encode(), self._name(NEXT))
        self._publish(coming)  # published first, so that gateways can verify every signature
        self._put(SIGNING, pem, "SecureString", overwrite=True)
        self.ssm.delete_parameter(Name=self._name(NEXT))
        return coming.kid

    def retire(self, kid: str) -> None:
        """Remove a public key. Gateways refuse its tokens after their next start. Raises KeysRefused."""
        now = self.public()
        if kid not in now.kids:
            raise KeysRefused(f"There is no public key {kid}.")
        if kid in (now.signing, now.coming):
            raise KeysRefused(
                f"{kid} is in use: every API token would be refused. Run `sluice keys rotate --aws` first."
            )
        known = self._published()
        del known[kid]
        self._put_jwks(known)

    # --- plumbing

    def _name(self, what: str) -> str:
        return f"{self.path}/{what}"

    def _find(self, what: str) -> str | None:
        try:
            return self._get(what)
        except self.ssm.exceptions.ParameterNotFound:
            return None

    def _get(self, what: str) -> str:
        return str(self.ssm.get_parameter(Name=self._name(what), WithDecryption=True)["Parameter"]["Value"])

    def _signing_key(self, what: str) -> SigningKey:
        return parse(self._get(what).encode(), self._name(what))

    def _published(self) -> dict[str, Ed25519PublicKey]:
        text = self._find(JWKS)
        return parse_jwks(text, self._name(JWKS)) if text else {}

    def _publish(self, key: SigningKey) -> None:
        known = self._published()
        if key.kid not in known:
            self._put_jwks({key.kid: key.private.public_key(), **known})
            self.made.append(self._name(JWKS))

    def _put_jwks(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        document = json.dumps({"keys": [jwk(key) for key in keys.values()]})
        self._put(JWKS, document, "String", overwrite=True)

    def _put_if_absent(self, what: str, value: str) -> None:
        try:
            self._put(what, value, "SecureString", overwrite=False)
        except self.ssm.exceptions.ParameterAlreadyExists:
            return
        self.made.append(self._name(what))

    def _put(self, what: str, value: str, kind: str, *, overwrite: bool) -> None:
        key = {"KeyId": self.kms_key} if self.kms_key and kind == "SecureString" else {}
        self.ssm.put_parameter(Name=self._name(what), Value=value, Type=kind, Overwrite=overwrite, **key)


def _new_pem() -> str:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem.decode()
