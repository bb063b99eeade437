"""API tokens as JSON Web Tokens (RFC 9068's shape): signed with Ed25519, verified with everything pinned.

PyJWT alone, given algorithm, audience and issuer, still accepts tokens without `exp`, padded segments and other
spellings of the same bytes: hence the form is checked first, and every claim is required and typed.
"""

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sluice.adapters.tokens.keys import SigningKey
from sluice.domain.errors import InvalidApiToken
from sluice.domain.tokens import SCOPES, Claims

ALGORITHM = "EdDSA"
TYPE = "at+jwt"  # RFC 9068, section 2.1: no other kind of JWT passes for an access token
AUDIENCE = "sluice"
REQUIRED = ["iss", "sub", "aud", "exp", "iat", "jti", "scope"]
HEADER = {"alg", "typ", "kid"}
MAX_CHARACTERS = 7_000  # an 8 KiB header's worth; ours are about 500
FORM = re.compile(r"[A-Za-z0-9_-]{2,500}\.[A-Za-z0-9_-]{2,6400}\.[A-Za-z0-9_-]{86}", re.ASCII)
CLOCK_LEEWAY_S = 60  # `iat` of another machine's clock
MEMO_SIZE = 10_000


def sign(claims: Claims, key: SigningKey, issuer: str) -> str:
    payload: dict[str, Any] = {
        "iss": issuer,
        "sub": claims.account_id,
        "aud": AUDIENCE,
        "exp": claims.expires_s,
        "iat": claims.issued_s,
        "jti": claims.token_id,
        "scope": " ".join(scope for scope in SCOPES if scope in claims.scopes),
    }
    if claims.models is not None:
        payload["models"] = list(claims.models)
    return jwt.encode(payload, key.private, ALGORITHM, headers={"typ": TYPE, "kid": key.kid})


class Signer:
    """`sluice.ports.TokenSigner`: holds the private key, so only the `tokens` function makes one."""

    def __init__(self, key: SigningKey, issuer: str) -> None:
        self._key = key
        self._issuer = issuer

    def sign(self, claims: Claims) -> str:
        return sign(claims, self._key, self._issuer)


class Verifier:
    """Checks signatures, and remembers the last ones that were right. Thread-safe."""

    def __init__(self, public_keys: Mapping[str, Ed25519PublicKey], issuer: str, memo_size: int = MEMO_SIZE) -> None:
        self._keys = public_keys
        self._issuer = issuer
        # Hash of the string → its kid and claims. Never a token itself: a memory dump should not hold thousands.
        self._memo: OrderedDict[bytes, tuple[str, Claims]] = OrderedDict()
        self._memo_size = memo_size
        self._lock = Lock()

    def verify(self, token: str, now_s: int) -> Claims:
        """What the token says, if we signed it and it has not expired. The expiry is checked every time.

        Errors: InvalidApiToken; that it has expired is said only of a token with a right signature.
        """
        if len(token) > MAX_CHARACTERS or not token.isascii():
            raise InvalidApiToken()
        known_as = hashlib.sha256(token.encode()).digest()
        claims = self._remembered(known_as)
        if claims is None:
            kid = _kid(token)
            if kid not in self._keys:
                raise InvalidApiToken()
            claims = self._decode(token, kid)
            self._remember(known_as, kid, claims)
        if claims.expires_s <= now_s:
            raise InvalidApiToken("This API token has expired.")
        if claims.issued_s > now_s + CLOCK_LEEWAY_S:
            raise InvalidApiToken()
        return claims

    def _decode(self, token: str, kid: str) -> Claims:
        # Times are ours to check, against the caller's clock; the rest is PyJWT's, then the types.
        options: Any = {"require": REQUIRED, "verify_exp": False, "verify_iat": False, "strict_aud": True}
        try:
            payload = jwt.decode(
                token, self._keys[kid], algorithms=[ALGORITHM], audience=AUDIENCE, issuer=self._issuer, options=options
            )
        except jwt.PyJWTError as exc:
            raise InvalidApiToken() from exc
        return _claims(payload)

    def _remembered(self, known_as: bytes) -> Claims | None:
        with self._lock:
            kid, claims = self._memo.get(known_as, ("", None))
            if claims is None or kid not in self._keys:
                return None
            self._memo.move_to_end(known_as)
            return claims

    def _remember(self, known_as: bytes, kid: str, claims: Claims) -> None:
        with self._lock:
            self._memo[known_as] = kid, claims
            while len(self._memo) > self._memo_size:
                self._memo.popitem(last=False)


def _kid(token: str) -> str:
    """The key's id of a token of the right form. Errors: InvalidApiToken."""
    if FORM.fullmatch(token) is None:
        raise InvalidApiToken()
    if not all(_is_canonical(segment) for segment in token.split(".")):
        raise InvalidApiToken()
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, RecursionError) as exc:
        raise InvalidApiToken() from exc
    # No more and no less: `crit`, `jwk`, `jku` and the like have no business here.
    if set(header) != HEADER or header["alg"] != ALGORITHM or header["typ"] != TYPE:
        raise InvalidApiToken()
    return str(header["kid"])


def _is_canonical(segment: str) -> bool:
    """Base64url has several spellings of the same bytes where bits are left over: only the zero ones pass."""
    if len(segment) % 4 == 1:
        return False
    raw = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    return urlsafe_b64encode(raw).rstrip(b"=") == segment.encode()


def _claims(payload: Mapping[str, Any]) -> Claims:
    """Types as we write them. Errors: InvalidApiToken."""
    strings, times, models = [payload[name] for name in ("jti", "sub", "scope")], (payload["iat"], payload["exp"]), None
    if "models" in payload:
        models = payload["models"]
        if not isinstance(models, list) or not all(isinstance(name, str) for name in models):
            raise InvalidApiToken()
    if not all(isinstance(text, str) and text for text in strings) or not all(type(time) is int for time in times):
        raise InvalidApiToken()
    token_id, account_id, scope = strings
    return Claims(token_id, account_id, *times, frozenset(scope.split(" ")), None if models is None else tuple(models))
