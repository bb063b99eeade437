"""`sluice keys … --aws`: keys are made once, never overwritten, and rotated without invalidating API tokens."""

import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from moto import mock_aws

from infra.aws.keys import JWKS, MAILED_CODE, NEXT, SIGNING, KeysRefused, ParameterKeys
from infra.cli import main
from sluice import settings
from sluice.adapters.tokens import keys as adapter
from sluice.adapters.tokens.jwt_tokens import Verifier, sign
from sluice.domain.errors import InvalidApiToken
from sluice.domain.tokens import Claims
from tests.fakes.ssm_server import parameters

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        client = boto3.client("ssm")
        yield client
        client.close()


def run(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments], **options)


def everything(ssm: Any) -> dict[str, tuple[str, str]]:
    found = ssm.get_parameters_by_path(Path="/sluice", WithDecryption=True)["Parameters"]
    return {one["Name"]: (one["Type"], one["Value"]) for one in found}


def test_init_creates_the_keys_that_the_functions_read(ssm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("init", "--aws").exit_code == 0
    assert {name: kind for name, (kind, _) in everything(ssm).items()} == {
        "/sluice/signing-key": "SecureString",
        "/sluice/mailed-code-key": "SecureString",
        "/sluice/jwks": "String",
    }
    for setting, name in (("SIGNING_KEY", SIGNING), ("MAILED_CODE_KEY", MAILED_CODE), ("JWKS", JWKS)):
        monkeypatch.setenv(f"SLUICE_{setting}_PARAMETER", f"/sluice/{name}")
    forget()
    with parameters(
        {name: value for name, (_, value) in everything(ssm).items()}
    ) as url:  # not botocore, so moto does not see it
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", url)
        assert adapter.signing_key().kid in adapter.public_keys()
        assert len(adapter.mailed_code_key()) == 32
    forget()


def forget() -> None:
    for cached in (settings.keys, adapter.signing_key, adapter.public_keys, adapter.mailed_code_key, adapter.jwks):
        cached.cache_clear()


def test_init_again_changes_nothing(ssm: Any) -> None:
    run("init", "--aws")
    before = everything(ssm)
    again = run("init", "--aws")
    assert again.exit_code == 0 and "nothing was changed" in again.stdout
    assert everything(ssm) == before


@pytest.mark.parametrize("lost", ["signing-key", "mailed-code-key", "jwks"])
def test_an_interrupted_init_is_completed_by_the_next_one(ssm: Any, lost: str) -> None:
    ParameterKeys(ssm).init()
    before = everything(ssm)
    ssm.delete_parameter(Name=f"/sluice/{lost}")
    assert f"/sluice/{lost}" in ParameterKeys(ssm).init()
    after = everything(ssm)
    kept = before.keys() - {f"/sluice/{lost}", "/sluice/jwks"}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert ParameterKeys(ssm).public().signing in ParameterKeys(ssm).public().kids


@pytest.mark.parametrize(
    ("name", "said"), [(SIGNING, "private key in PEM form"), (MAILED_CODE, "base64"), (JWKS, "Set")]
)
def test_an_unreadable_key_is_named_and_kept(ssm: Any, name: str, said: str) -> None:
    ParameterKeys(ssm).init()
    ssm.put_parameter(Name=f"/sluice/{name}", Value="ga!rbage", Type="String", Overwrite=True)
    refused = run("init", "--aws")
    assert refused.exit_code == 1
    assert f"/sluice/{name}" in refused.stderr and said in refused.stderr and "Traceback" not in refused.output
    assert everything(ssm)[f"/sluice/{name}"][1] == "ga!rbage"


def test_the_users_own_kms_key_encrypts_the_secrets_only(ssm: Any) -> None:
    asked: list[dict[str, Any]] = []

    class Recorder:
        exceptions = ssm.exceptions

        def put_parameter(self, **arguments: Any) -> None:
            asked.append(arguments)
            ssm.put_parameter(**{name: value for name, value in arguments.items() if name != "KeyId"})

        def __getattr__(self, name: str) -> Any:
            return getattr(ssm, name)

    ParameterKeys(Recorder(), kms_key="alias/mine").init()
    assert {one["Name"]: one.get("KeyId") for one in asked} == {
        "/sluice/signing-key": "alias/mine",
        "/sluice/mailed-code-key": "alias/mine",
        "/sluice/jwks": None,
    }


def test_rotation_invalidates_no_api_token_at_any_moment(ssm: Any) -> None:
    """A gateway accepts all tokens that are signed after its start, with one exception: tokens of the new key need a
    gateway that was started after the first step. That is why there are two steps."""
    keys = ParameterKeys(ssm)
    keys.init()
    old_token = signed(ssm)
    old = keys.public().signing

    new = keys.rotate()
    assert keys.rotate() == new  # asked twice, but still one
    assert keys.public().signing == old and keys.public().coming == new
    verifier = Verifier(published(ssm), "sluice")
    assert accepts(verifier, old_token) and accepts(verifier, signed(ssm))

    assert keys.finish_rotation() == new
    assert keys.public() == type(keys.public())((new, old), new)
    assert accepts(verifier, signed(ssm)) and accepts(Verifier(published(ssm), "sluice"), old_token)
    assert f"/sluice/{NEXT}" not in everything(ssm)

    keys.retire(old)
    later = Verifier(published(ssm), "sluice")
    assert not accepts(later, old_token) and accepts(later, signed(ssm))


def test_the_current_signing_key_cannot_be_retired(ssm: Any) -> None:
    keys = ParameterKeys(ssm)
    keys.init()
    for kid in (keys.public().signing, keys.rotate(), "unknown"):
        with pytest.raises(KeysRefused):
            keys.retire(kid)
    assert len(keys.public().kids) == 2


def test_a_rotation_that_was_not_started_cannot_be_finished(ssm: Any) -> None:
    run("init", "--aws")
    refused = run("rotate", "--aws", "--finish")
    assert refused.exit_code == 1 and "no next key" in refused.stderr


def test_the_commands_print_the_id_of_the_signing_key(ssm: Any) -> None:
    run("init", "--aws")
    run("rotate", "--aws")
    now = ParameterKeys(ssm).public()
    assert run("list", "--aws").stdout.splitlines() == [f"{now.coming}  signs next", f"{now.signing}  signs"]
    run("rotate", "--aws", "--finish")
    assert run("retire", "--aws", now.signing, input="y\n").exit_code == 0
    assert run("list", "--aws").stdout == f"{now.coming}  signs\n"


def test_the_id_of_a_key_may_begin_with_a_hyphen(ssm: Any) -> None:
    run("init", "--aws")
    refused = run("retire", "--aws", "-6J6xu1GDuUrU6qO-64pb2ioNdPQbG4K5RJqyP90v2w", input="y\n")
    assert refused.exit_code == 1 and "-6J6xu1" in refused.stderr


def test_no_secret_is_printed(ssm: Any) -> None:
    printed = "".join(run(*words, "--aws").output for words in (["init"], ["rotate"], ["rotate", "--finish"], ["list"]))
    for kind, value in everything(ssm).values():
        if kind == "SecureString":
            assert all(line not in printed for line in value.splitlines() if len(line) > 10)


def test_without_the_aws_option_the_command_prints_where_local_keys_are() -> None:
    told = run("init")
    assert told.exit_code == 1 and "make up" in told.stderr


def test_an_unreachable_ssm_gives_exit_status_2(ssm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    told = run("init", "--aws")
    assert told.exit_code == 2 and "Parameter Store" in told.stderr


def published(ssm: Any) -> Any:
    return adapter.parse_jwks(everything(ssm)["/sluice/jwks"][1], "jwks")


def signed(ssm: Any) -> str:
    key = adapter.parse_signing_key(everything(ssm)["/sluice/signing-key"][1].encode(), "key")
    now_s = int(time.time())
    return sign(Claims("tok_1", "usr_1", now_s, now_s + 60, frozenset({"inference"}), None), key, "sluice")


def accepts(verifier: Verifier, token: str) -> bool:
    try:
        return verifier.verify(token, int(time.time())).token_id == "tok_1"
    except InvalidApiToken:
        return False
