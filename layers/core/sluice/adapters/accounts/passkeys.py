"""Passkeys by py_webauthn, which is imported with the first of them. The relying party is the base URL's host."""

import hashlib
import ipaddress
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from sluice.domain.accounts.account import Account
from sluice.domain.accounts.factors import Factor, PasskeyCopied, PasskeyRefused, SignedBy, new_factor

MOST_ID_BYTES, MOST_KEY_BYTES = 1023, 1024  # WebAuthn, section 4; keys of RSA-4096 have some 530
TIMEOUT_MS = 5 * 60_000
TRANSPORTS = frozenset({"usb", "nfc", "ble", "smart-card", "hybrid", "internal"})


def relying_party(base_url: str) -> tuple[str, str] | None:
    """Its id and its origin, or None: browsers make no passkey for an IP address. Loopback is served as `localhost`."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host, f"{parts.scheme}://{parts.netloc}"
    if not address.is_loopback:
        return None
    return "localhost", f"{parts.scheme}://localhost" + (f":{parts.port}" if parts.port else "")


class WebAuthn:
    """`sluice.ports.Passkeys`."""

    def __init__(self, base_url: Callable[[], str]) -> None:
        self._base_url = base_url

    def origin(self) -> str | None:
        found = relying_party(self._base_url())
        return found[1] if found else None

    def new_options(self, account: Account, challenge: str, site: str) -> dict[str, Any]:
        from webauthn import base64url_to_bytes, generate_registration_options, options_to_json
        from webauthn.helpers import structs

        made = generate_registration_options(
            rp_id=self._party()[0],
            rp_name=site,
            user_id=account.account_id.encode(),
            user_name=account.email,
            user_display_name=account.name or account.email,
            challenge=base64url_to_bytes(challenge),
            timeout=TIMEOUT_MS,
            authenticator_selection=structs.AuthenticatorSelectionCriteria(
                resident_key=structs.ResidentKeyRequirement.PREFERRED,
                user_verification=structs.UserVerificationRequirement.PREFERRED,
            ),
            exclude_credentials=_descriptors(account),
        )
        return dict(json.loads(options_to_json(made)))

    def registered(self, credential: Mapping[str, Any], challenge: str, name: str, now_ms: int) -> Factor:
        from webauthn import base64url_to_bytes, verify_registration_response

        rp_id, origin = self._party()
        with _refusing():
            found = verify_registration_response(
                credential=dict(credential),
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=rp_id,
                expected_origin=origin,
            )
        raw = found.credential_id
        if len(raw) > MOST_ID_BYTES or len(found.credential_public_key) > MOST_KEY_BYTES:
            raise PasskeyRefused()
        response = credential.get("response")
        told = response.get("transports") if isinstance(response, dict) else None
        known = sorted(TRANSPORTS.intersection(one for one in told if isinstance(one, str))) if told else []
        return new_factor(
            "passkey",
            name,
            now_ms,
            factor_id="fac_" + hashlib.sha256(raw).hexdigest()[:16],  # so that no passkey is there twice
            credential_id=_b64url(raw),
            public_key=_b64url(found.credential_public_key),
            sign_count=found.sign_count,
            transports=tuple(known),
        )

    def options(self, account: Account, challenge: str) -> dict[str, Any]:
        from webauthn import base64url_to_bytes, generate_authentication_options, options_to_json

        made = generate_authentication_options(
            rp_id=self._party()[0],
            challenge=base64url_to_bytes(challenge),
            timeout=TIMEOUT_MS,
            allow_credentials=_descriptors(account),
        )
        return dict(json.loads(options_to_json(made)))

    def signed_by(self, account: Account, credential: Mapping[str, Any], challenge: str) -> SignedBy:
        from webauthn import base64url_to_bytes, verify_authentication_response

        rp_id, origin = self._party()
        given = str(credential.get("id", "")).rstrip("=")
        factor = next((one for one in account.factors.values() if one.credential_id == given != ""), None)
        if factor is None:
            raise PasskeyRefused()
        with _refusing():
            found = verify_authentication_response(
                credential=dict(credential),
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=rp_id,
                expected_origin=origin,
                credential_public_key=base64url_to_bytes(factor.public_key),
                credential_current_sign_count=0,  # compared below, because a copy is told
            )
        if found.new_sign_count <= factor.sign_count and (found.new_sign_count or factor.sign_count):
            raise PasskeyCopied()
        return SignedBy(factor, found.new_sign_count)

    def _party(self) -> tuple[str, str]:
        """Errors: PasskeyRefused."""
        found = relying_party(self._base_url())
        if found is None:
            raise PasskeyRefused("Passkeys need an address with a name: this site has a number.")
        return found


@contextmanager
def _refusing() -> Iterator[None]:
    """Errors: PasskeyRefused, whatever is wrong with what the browser sent."""
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        yield
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise PasskeyRefused() from exc


def _descriptors(account: Account) -> list[Any]:
    from webauthn import base64url_to_bytes
    from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor

    return [
        PublicKeyCredentialDescriptor(
            id=base64url_to_bytes(one.credential_id),
            transports=[AuthenticatorTransport(each) for each in one.transports] or None,
        )
        for one in account.factors.values()
        if one.kind == "passkey"
    ]


def _b64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
