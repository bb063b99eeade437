"""A passkey in software, by WebAuthn's own formats: what a browser sends for one, with whatever is to be wrong."""

import hashlib
import json
import secrets
from base64 import urlsafe_b64encode
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def b64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class SoftPasskey:
    def __init__(self, origin: str, rp_id: str) -> None:
        self.origin, self.rp_id, self.count = origin, rp_id, 0
        self.key, self.raw_id = ec.generate_private_key(ec.SECP256R1()), secrets.token_bytes(32)

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        public = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
        attested = bytes(16) + len(self.raw_id).to_bytes(2, "big") + self.raw_id + public
        data = self._data(PRESENT | VERIFIED | ATTESTED) + attested
        told = {
            "clientDataJSON": b64url(self._client("webauthn.create", options["challenge"])),
            "attestationObject": b64url(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})),
            "transports": ["internal", "x" * 9],
        }
        return self._credential(told)

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        data, client = self._data(PRESENT | VERIFIED), self._client("webauthn.get", options["challenge"])
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        told = {"clientDataJSON": b64url(client), "authenticatorData": b64url(data), "signature": b64url(signature)}
        return self._credential(told)

    def _credential(self, response: dict[str, Any]) -> dict[str, Any]:
        return {"id": b64url(self.raw_id), "rawId": b64url(self.raw_id), "type": "public-key", "response": response}

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _client(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()
