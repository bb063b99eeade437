"""Signing keys: which function may hold which key, and where it is stored.

Only functions that issue tokens or codes hold private keys: an Ed25519 key for API tokens and an HMAC key for mailed
codes, separate so that one cannot replace the other. The gateway reads only public keys (`jwks.json`). On one machine
keys are 0600 files in the data directory; on AWS they are SSM parameters (SecureString for the private ones).
"""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sluice import settings
from sluice.adapters.whole_files import draft_of, sync_folder, write_whole
from sluice.domain.errors import Unavailable

SIGNING_FILE = "token-signing.pem"
MAILED_CODE_FILE = "mailed-code.key"
JWKS_FILE = "jwks.json"
MAILED_CODE_KEY_BYTES = 32


@dataclass(frozen=True, repr=False)
class SigningKey:
    """The private key that signs API tokens. Its repr hides the key, so that it cannot get into a log."""

    kid: str
    private: Ed25519PrivateKey


# --- create


def ensure_keys(data_dir: Path) -> None:
    """Create missing keys in `data_dir/keys` and keep existing ones. Safe to run concurrently and after a crash.

    Errors: ValueError, naming the file, if an existing key cannot be read. No key is replaced silently, because every
    token signed with it would become invalid.
    """
    folder = data_dir / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _put_if_absent(folder / SIGNING_FILE, _pem(Ed25519PrivateKey.generate()))
    _put_if_absent(folder / MAILED_CODE_FILE, base64.b64encode(secrets.token_bytes(MAILED_CODE_KEY_BYTES)) + b"\n")
    parse_mailed_code_key((folder / MAILED_CODE_FILE).read_bytes(), str(folder / MAILED_CODE_FILE))
    key = parse_signing_key((folder / SIGNING_FILE).read_bytes(), str(folder / SIGNING_FILE))
    _publish(folder / JWKS_FILE, key)


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _put_if_absent(path: Path, content: bytes) -> None:
    if path.exists():
        path.chmod(0o600)
        return
    draft = draft_of(path, content, 0o600)
    with suppress(FileExistsError):
        os.link(draft, path)  # unlike rename, never replaces: of two starts at once one wins
    draft.unlink()
    sync_folder(path.parent)


def _publish(path: Path, key: SigningKey) -> None:
    """Add the key to the published ones. Older ones stay, so that tokens signed with them stay valid."""
    known = parse_jwks(path.read_text(), str(path)) if path.exists() else {}
    if key.kid in known:
        return
    entries = [jwk(public) for public in (key.private.public_key(), *known.values())]
    document = json.dumps({"keys": entries}, indent=1) + "\n"
    write_whole(path, document.encode(), 0o644)


# --- formats


def _b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwk(public: Ed25519PublicKey) -> dict[str, str]:
    """RFC 8037, with the RFC 7638 thumbprint as `kid`."""
    x = _b64url(public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA", "kid": thumbprint(x)}


def thumbprint(x: str) -> str:
    """RFC 7638, section 3: SHA-256 over the required members, sorted, without white space."""
    required = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"), sort_keys=True)
    return _b64url(hashlib.sha256(required.encode()).digest())


def parse_signing_key(pem: bytes, source: str) -> SigningKey:
    """`source`: the file or parameter to name in an error. Errors: ValueError."""
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as exc:
        raise ValueError(f"{source} is not a private key in PEM form") from exc
    if not isinstance(private, Ed25519PrivateKey):
        raise ValueError(f"{source} is not an Ed25519 key")
    return SigningKey(jwk(private.public_key())["kid"], private)


def parse_mailed_code_key(text: bytes, source: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError as exc:
        raise ValueError(f"{source} is not base64") from exc
    if len(key) != MAILED_CODE_KEY_BYTES:
        raise ValueError(f"{source} does not hold {MAILED_CODE_KEY_BYTES} bytes")
    return key


def parse_jwks(text: str, source: str) -> dict[str, Ed25519PublicKey]:
    """`kid` → key, of every Ed25519 key in the document. Errors: ValueError, which names `source`."""
    try:
        entries = [entry for entry in json.loads(text)["keys"] if entry.get("crv") == "Ed25519"]
        raw = {entry["kid"]: base64.urlsafe_b64decode(entry["x"] + "=") for entry in entries}
        return {kid: Ed25519PublicKey.from_public_bytes(x) for kid, x in raw.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"{source} is not a JSON Web Key Set") from exc


# --- read, once a process


@cache
def signing_key() -> SigningKey:
    source, text = _secret(settings.keys().signing_key_parameter, SIGNING_FILE)
    return parse_signing_key(text, source)


@cache
def mailed_code_key() -> bytes:
    source, text = _secret(settings.keys().mailed_code_key_parameter, MAILED_CODE_FILE)
    return parse_mailed_code_key(text, source)


@cache
def public_keys() -> Mapping[str, Ed25519PublicKey]:
    """The keys that verify API tokens, the only ones that the gateway reads."""
    source, text = _secret(settings.keys().jwks_parameter, JWKS_FILE)
    return parse_jwks(text.decode(), source)


@cache
def jwks() -> dict[str, Any]:
    """The document of `/.well-known/jwks.json`, rebuilt from the public keys so that it contains nothing private."""
    return {"keys": [jwk(key) for key in public_keys().values()]}


def _secret(parameter: str, file_name: str) -> tuple[str, bytes]:
    if parameter:
        from sluice.adapters.aws import ssm  # only on AWS

        return parameter, ssm.parameter(parameter).encode()
    path = settings.keys().data_dir / "keys" / file_name
    try:
        return str(path), path.read_bytes()
    except OSError as exc:
        raise Unavailable() from exc
