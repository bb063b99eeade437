"""Keys are made once and kept; private keys stay private, public keys are published."""

import base64
import hashlib
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sluice import settings
from sluice.adapters.tokens import keys
from sluice.domain.errors import Unavailable
from tests.fakes.ssm_server import parameters


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    for cached in (settings.keys, keys.signing_key, keys.mailed_code_key, keys.public_keys, keys.jwks):
        cached.cache_clear()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "keys").iterdir()}


def test_keys_are_made_once_and_only_the_owner_may_read_private_ones(tmp_path: Path) -> None:
    keys.ensure_keys(tmp_path)
    made = contents(tmp_path)
    assert set(made) == {"token-signing.pem", "mailed-code.key", "jwks.json"}
    for name in ("token-signing.pem", "mailed-code.key"):
        assert stat.S_IMODE((tmp_path / "keys" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    keys.ensure_keys(tmp_path)
    assert contents(tmp_path) == made


def test_a_private_key_that_others_can_read_is_protected_again(tmp_path: Path) -> None:
    keys.ensure_keys(tmp_path)
    (tmp_path / "keys" / "token-signing.pem").chmod(0o644)
    keys.ensure_keys(tmp_path)
    assert stat.S_IMODE((tmp_path / "keys" / "token-signing.pem").stat().st_mode) == 0o600


def test_concurrent_starts_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: keys.ensure_keys(tmp_path), range(8)))
    assert set(contents(tmp_path)) == {"token-signing.pem", "mailed-code.key", "jwks.json"}
    assert list(keys.public_keys()) == [keys.signing_key().kid]


def test_the_kid_is_the_rfc_7638_thumbprint_and_the_published_key_verifies_signatures(tmp_path: Path) -> None:
    keys.ensure_keys(tmp_path)
    signing = keys.signing_key()
    (entry,) = keys.jwks()["keys"]
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{entry["x"]}"}}'
    expected = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()
    assert signing.kid == entry["kid"] == expected
    keys.public_keys()[signing.kid].verify(signing.private.sign(b"x"), b"x")


def test_the_thumbprint_is_that_of_the_rfc_8037_example() -> None:
    x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert keys.thumbprint(x) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_nothing_private_is_published(tmp_path: Path) -> None:
    keys.ensure_keys(tmp_path)
    document = json.loads((tmp_path / "keys" / "jwks.json").read_text())
    assert all(set(entry) == {"kty", "crv", "x", "use", "alg", "kid"} for entry in document["keys"])
    assert all("d" not in entry for entry in keys.jwks()["keys"])
    assert "Ed25519PrivateKey" not in repr(keys.signing_key())


def test_a_new_signing_key_keeps_the_older_published_keys(tmp_path: Path) -> None:
    keys.ensure_keys(tmp_path)
    old = keys.signing_key().kid
    (tmp_path / "keys" / "token-signing.pem").unlink()
    keys.ensure_keys(tmp_path)
    keys.signing_key.cache_clear()
    assert list(keys.public_keys()) == [keys.signing_key().kid, old]


@pytest.mark.parametrize("name", ["token-signing.pem", "mailed-code.key", "jwks.json"])
def test_a_damaged_key_is_named_and_never_replaced(tmp_path: Path, name: str) -> None:
    keys.ensure_keys(tmp_path)
    path = tmp_path / "keys" / name
    path.write_text("garbled")
    with pytest.raises(ValueError, match=name):
        keys.ensure_keys(tmp_path)
    assert path.read_text() == "garbled"


def test_a_key_of_another_kind_is_refused() -> None:
    other = keys._pem(generate_private_key(SECP256R1()))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"here is not an Ed25519 key"):
        keys.parse_signing_key(other, "here")
    with pytest.raises(ValueError, match="32 bytes"):
        keys.parse_mailed_code_key(base64.b64encode(b"short"), "here")


def test_missing_keys_are_unavailable_and_read_again_later(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        keys.public_keys()
    keys.ensure_keys(tmp_path)
    assert len(keys.public_keys()) == 1


def test_on_aws_the_keys_come_from_ssm_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    signing = Ed25519PrivateKey.generate()
    public = keys.jwk(signing.public_key())
    stored = {
        "/s/signing": keys._pem(signing).decode(),
        "/s/codes": base64.b64encode(b"k" * 32).decode(),
        "/s/jwks": json.dumps({"keys": [public]}),
    }
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "SLUICE_SIGNING_KEY_PARAMETER": "/s/signing",
        "SLUICE_MAILED_CODE_KEY_PARAMETER": "/s/codes",
        "SLUICE_JWKS_PARAMETER": "/s/jwks",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    there: dict[str, str] = {}
    with parameters(there) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", url)
        with pytest.raises(Unavailable):
            keys.signing_key()
        there |= stored
        assert keys.signing_key().kid == public["kid"]
        assert keys.mailed_code_key() == b"k" * 32
        assert list(keys.public_keys()) == [public["kid"]]
