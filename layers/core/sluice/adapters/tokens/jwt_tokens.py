"""API tokens as JSON Web Tokens (RFC 9068): signed with Ed25519, and verified with fixed form and claims.

PyJWT with algorithm, audience and issuer still accepts tokens without `exp`, padded segments and other encodings of the
same bytes. Therefore the form is checked first, and every claim is required and has a type.
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
from sluice.domain.errors import ApiTokenExpired, InvalidApiToken
from sluice.domain.gateway.publishable import PREFIX
from sluice.domain.tokens import SCOPES, Claims

ALGORITHM = "EdDSA"
TYPE = "at+jwt"  # RFC 9068, section 2.1: prevents other kinds of JWT from being used as access tokens
AUDIENCE = "sluice"
REQUIRED = ["iss", "sub", "aud", "exp", "iat", "jti", "scope"]
HEADER = {"alg", "typ", "kid"}
MAX_CHARACTERS = 7_000  # fits an 8 KiB header; ours have about 500
FORM = re.compile(r"[A-Za-z0-9_-]{2,500}\.[A-Za-z0-9_-]{2,6400}\.[A-Za-z0-9_-]{86}", re.ASCII)
CLOCK_LEEWAY_S = 60  # because `iat` comes from another machine's clock
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
    if claims.family is not None:
        payload["fam"] = claims.family
    if claims.local_only:
        payload["local"] = True
    if claims.publishable:
        payload["pub"] = True
    token = jwt.encode(payload, key.private, ALGORITHM, headers={"typ": TYPE, "kid": key.kid})
    return PREFIX + token if claims.publishable else token


class Signer:
    """`sluice.ports.TokenSigner`. It holds the private key, so only the `tokens` function may create one."""

    def __init__(self, key: SigningKey, issuer: str) -> None:
        self._key = key
        self._issuer = issuer

    def sign(self, claims: Claims) -> str:
        return sign(claims, self._key, self._issuer)


class Verifier:
    """Checks signatures, and remembers the last valid ones. Thread-safe."""

    def __init__(self, public_keys: Mapping[str, Ed25519PublicKey], issuer: str, memo_size: int = MEMO_SIZE) -> None:
        self._keys = public_keys
        self._issuer = issuer
        # Hash of the token → its kid and claims. Tokens are not kept, because a memory dump would expose them.
        self._memo: OrderedDict[bytes, tuple[str, Claims]] = OrderedDict()
        self._memo_size = memo_size
        self._lock = Lock()

    def verify(self, token: str, now_s: int) -> Claims:
        """The claims of a token that we signed and that has not expired. The expiry is checked every time.

        Errors: InvalidApiToken. Its message mentions the expiry only if the signature is valid.
        """
        if len(token) > MAX_CHARACTERS or not token.isascii():
            raise InvalidApiToken()
        known_as = hashlib.sha256(token.encode()).digest()
        claims = self._remembered(known_as)
        if claims is None:
            unmarked = token.removeprefix(PREFIX)
            kid = _kid(unmarked)
            if kid not in self._keys:
                raise InvalidApiToken()
            claims = self._decode(unmarked, kid)
            if claims.publishable != (unmarked != token):  # the claim decides; the prefix may not be left out or added
                raise InvalidApiToken()
            self._remember(known_as, kid, claims)
        if claims.expires_s <= now_s:
            raise ApiTokenExpired(claims.account_id, claims.token_id)
        if claims.issued_s > now_s + CLOCK_LEEWAY_S:
            raise InvalidApiToken()
        return claims

    def _decode(self, token: str, kid: str) -> Claims:
        # We check times against `now_s`; PyJWT checks the rest; then we check the types.
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
    # Exactly these: `crit`, `jwk`, `jku` and others are refused.
    if set(header) != HEADER or header["alg"] != ALGORITHM or header["typ"] != TYPE:
        raise InvalidApiToken()
    return str(header["kid"])


def _is_canonical(segment: str) -> bool:
    """Base64url can encode the same bytes in several ways if bits are left over. Only zero bits are accepted."""
    if len(segment) % 4 == 1:
        return False
    raw = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    return urlsafe_b64encode(raw).rstrip(b"=") == segment.encode()


def _claims(payload: Mapping[str, Any]) -> Claims:
    """The claims, if they have the types that we write. Errors: InvalidApiToken."""
    strings, times, models = [payload[name] for name in ("jti", "sub", "scope")], (payload["iat"], payload["exp"]), None
    if "models" in payload:
        models = payload["models"]
        if not isinstance(models, list) or not all(isinstance(name, str) for name in models):
            raise InvalidApiToken()
    if not all(isinstance(text, str) and text for text in strings) or not all(type(time) is int for time in times):
        raise InvalidApiToken()
    if payload.get("local", True) is not True or payload.get("pub", True) is not True:
        raise InvalidApiToken()
    if "fam" in payload and not (isinstance(payload["fam"], str) and payload["fam"]):
        raise InvalidApiToken()
    token_id, account_id, scope = strings
    models = None if models is None else tuple(models)
    family, flags = payload.get("fam"), ("local" in payload, "pub" in payload)
    return Claims(token_id, account_id, *times, frozenset(scope.split(" ")), models, family, *flags)
