"""Verification of API tokens against the known attacks on JWTs."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sluice.adapters.tokens import jwt_tokens
from sluice.adapters.tokens.jwt_tokens import Verifier, sign
from sluice.adapters.tokens.keys import SigningKey, jwk
from sluice.domain.errors import InvalidApiToken
from sluice.domain.tokens import MAX_MODELS, MODEL_CHARACTERS, Claims, parse_models

NOW_S = 1_800_000_000
PRIVATE = Ed25519PrivateKey.generate()
KEY = SigningKey(jwk(PRIVATE.public_key())["kid"], PRIVATE)
CLAIMS = Claims("tok_1", "usr_1", NOW_S, NOW_S + 3600, frozenset({"inference", "files"}), ("demo",))
INVALID = "The API token is not valid."
EXPIRED = "This API token has expired."


def verifier(**more: Any) -> Verifier:
    return Verifier({KEY.kid: PRIVATE.public_key()}, "sluice", **more)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def payload(**changes: Any) -> dict[str, Any]:
    whole = {
        "iss": "sluice",
        "sub": "usr_1",
        "aud": "sluice",
        "exp": NOW_S + 3600,
        "iat": NOW_S,
        "jti": "tok_1",
        "scope": "inference files",
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def made(claims: dict[str, Any] | None = None, key: Any = PRIVATE, **headers: Any) -> str:
    """Signed by hand, so that a test can choose every claim and header."""
    header = {"alg": "EdDSA", "typ": "at+jwt", "kid": KEY.kid} | headers
    header = {name: value for name, value in header.items() if value is not ...}
    said = b64(json.dumps(header).encode()) + "." + b64(json.dumps(payload() if claims is None else claims).encode())
    return said + "." + b64(key.sign(said.encode()))


def refusal(token: str, now_s: int = NOW_S) -> str:
    with pytest.raises(InvalidApiToken) as refused:
        verifier().verify(token, now_s)
    return refused.value.message


def test_the_claims_of_a_signed_token_are_read_unchanged() -> None:
    assert verifier().verify(sign(CLAIMS, KEY, "sluice"), NOW_S) == CLAIMS
    anything = Claims("tok_2", "usr_1", NOW_S, NOW_S + 60, frozenset({"inference"}), None)
    assert verifier().verify(sign(anything, KEY, "sluice"), NOW_S) == anything


def test_a_valid_token_made_by_hand_is_accepted() -> None:
    """So the attacks below are refused for what they change."""
    assert verifier().verify(made(), NOW_S).token_id == "tok_1"


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "exp", "iat", "jti", "scope"])
def test_every_claim_is_required(claim: str) -> None:
    assert refusal(made(payload(**{claim: ...}))) == INVALID


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "someone-else"},
        {"iss": ["sluice"]},
        {"aud": "another"},
        {"aud": ["sluice", "another"]},
        {"aud": ["sluice"]},
        {"sub": ""},
        {"sub": 1},
        {"jti": ""},
        {"jti": None},
        {"jti": 7},
        {"scope": ""},
        {"scope": ["inference"]},
        {"exp": str(NOW_S + 3600)},
        {"exp": NOW_S + 3600.5},
        {"exp": True},
        {"exp": None},
        {"exp": 1e400},
        {"iat": "now"},
        {"iat": NOW_S + 3600},
        {"models": "demo"},
        {"models": [1]},
        {"models": None},
    ],
)
def test_a_claim_of_another_value_or_type_is_refused_although_we_signed_it(changes: dict[str, Any]) -> None:
    assert refusal(made(payload(**changes))) == INVALID


@pytest.mark.parametrize(
    "headers",
    [
        {"typ": "JWT"},
        {"typ": ...},
        {"typ": "AT+JWT"},
        {"kid": "another"},
        {"kid": ...},
        {"kid": None},
        {"kid": ["x"]},
        {"kid": "../../etc/passwd"},
        {"alg": "none"},
        {"alg": "Ed25519"},
        {"alg": "ES256"},
        {"alg": None},
        {"crit": ["exp"]},
        {"b64": False},
        {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}},
        {"jku": "https://evil.example/jwks.json"},
    ],
)
def test_a_header_that_is_not_ours_is_refused(headers: dict[str, Any]) -> None:
    assert refusal(made(None, **headers)) == INVALID


@pytest.mark.parametrize("signature", ["", "x", "A" * 86])
def test_alg_none_without_a_signature_is_refused(signature: str) -> None:
    head = b64(json.dumps({"alg": "none", "typ": "at+jwt", "kid": KEY.kid}).encode())
    body = b64(json.dumps(payload()).encode())
    assert refusal(f"{head}.{body}.{signature}") == INVALID


@pytest.mark.parametrize("form", ["raw", "pem"])
def test_hs256_with_the_public_key_as_its_secret_is_refused(form: str) -> None:
    public = PRIVATE.public_key()
    secret = (
        public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        if form == "raw"
        else public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head = b64(json.dumps({"alg": "HS256", "typ": "at+jwt", "kid": KEY.kid}).encode())
    said = head + "." + b64(json.dumps(payload()).encode())
    for signature in (hmac.digest(secret, said.encode(), hashlib.sha256), hmac.digest(secret, said.encode(), "sha512")):
        assert refusal(said + "." + b64(signature)) == INVALID


def test_a_signature_of_another_key_under_our_kid_is_refused() -> None:
    assert refusal(made(key=Ed25519PrivateKey.generate())) == INVALID


def test_one_changed_claim_breaks_the_signature() -> None:
    head, _, signature = made().split(".")
    assert refusal(".".join((head, b64(json.dumps(payload(scope="files batches")).encode()), signature))) == INVALID


def test_padding_and_other_spellings_of_the_same_bytes_are_refused() -> None:
    token = made()
    head, body, signature = token.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = signature[:-1] + last[last.index(signature[-1]) + 1]  # they differ only in bits that the decoding drops
    assert base64.urlsafe_b64decode(twin + "==") == base64.urlsafe_b64decode(signature + "==")
    spellings = [
        f"{head}.{body}.{twin}",
        f"{head}.{body}.{signature}==",
        f"{head}=.{body}.{signature}",
        f"{head}.{body}=.{signature}",
        f" {token}",
        f"{token}\n",
        f"{head}\n.{body}.{signature}",
        f"{token}.",
        f".{token}",
        token.replace("-", "+").replace("_", "/") + "/",
    ]
    assert {refusal(spelling) for spelling in spellings} == {INVALID}


def test_a_signature_with_the_group_order_added_is_refused() -> None:
    """RFC 8032, 5.1.7: S must be below L, or a second signature of the same token could be made from the first."""
    order = 2**252 + 27742317777372353535851937790883648493
    head, body, signature = made().split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    twin = raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    assert refusal(f"{head}.{body}.{b64(twin)}") == INVALID


def test_every_truncation_is_refused() -> None:
    token = made()
    assert {refusal(token[:length]) for length in range(0, len(token), 7)} == {INVALID}


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "ses_0000000000000000." + "A" * 43,
        "é.é.é",
        "\x00",
        "e30.e30." + "A" * 86,
        b64(b"[]") + "." + b64(b"[]") + "." + "A" * 86,
        b64(b"\xff\xfe") + ".e30." + "A" * 86,
        b64(b"[" * 370) + ".e30." + "A" * 86,
        "a" * 100_000,
        ("A" * 3_000_000) + "." + "A" * 100 + "." + "A" * 86,
        "𝔢30.e30." + "A" * 86,
    ],
)
def test_garbage_is_refused_without_a_crash(garbage: str) -> None:
    assert refusal(garbage) == INVALID


def test_a_signed_payload_that_is_not_an_object_is_refused() -> None:
    assert refusal(made([])) == INVALID  # type: ignore[arg-type]


def test_a_token_expires_exactly_at_its_exp() -> None:
    token = made()
    assert verifier().verify(token, NOW_S + 3599)
    assert refusal(token, NOW_S + 3600) == EXPIRED


def test_the_error_names_the_expiry_only_if_the_signature_is_right() -> None:
    old = payload(exp=NOW_S - 1)
    assert refusal(made(old)) == EXPIRED
    assert refusal(made(old, key=Ed25519PrivateKey.generate())) == INVALID


def test_a_remembered_token_expires_on_time() -> None:
    checking, token = verifier(), made()
    assert checking.verify(token, NOW_S) is checking.verify(token, NOW_S + 1)  # remembered
    with pytest.raises(InvalidApiToken, match="expired"):
        checking.verify(token, NOW_S + 3600)


def test_the_memo_is_bounded_and_drops_the_least_recently_used(monkeypatch: pytest.MonkeyPatch) -> None:
    checking, decoded = verifier(memo_size=2), []
    real = jwt.decode
    monkeypatch.setattr(jwt_tokens.jwt, "decode", lambda token, *a, **k: decoded.append(token) or real(token, *a, **k))
    first, second, third = (made(payload(jti=f"tok_{place}")) for place in range(3))
    for token in (first, second, first, third, first, second):
        checking.verify(token, NOW_S)
    assert decoded == [first, second, third, second]


def test_tokens_of_a_retired_key_are_not_remembered() -> None:
    keys = {KEY.kid: PRIVATE.public_key()}
    checking, token = Verifier(keys, "sluice"), made()
    checking.verify(token, NOW_S)
    del keys[KEY.kid]
    with pytest.raises(InvalidApiToken):
        checking.verify(token, NOW_S)


def test_the_memo_stores_no_token() -> None:
    checking, token = verifier(), made()
    checking.verify(token, NOW_S)
    assert token not in repr(checking._memo) and token.rpartition(".")[2] not in repr(checking._memo)


def test_a_refused_token_is_never_remembered() -> None:
    checking, forged = verifier(), made(key=Ed25519PrivateKey.generate())
    for _ in range(2):
        with pytest.raises(InvalidApiToken):
            checking.verify(forged, NOW_S)


def test_the_longest_token_that_can_be_issued_is_accepted() -> None:
    models = tuple(f"{place:02d}" + "m" * (MODEL_CHARACTERS - 2) for place in range(MAX_MODELS))
    assert parse_models(models) == models
    long = Claims("tok_1", "usr_1", NOW_S, NOW_S + 60, frozenset({"inference"}), models)
    assert verifier().verify(sign(long, KEY, "sluice"), NOW_S) == long
