"""Requests to a function URL of AuthType AWS_IAM are signed; a server that computes the signature accepts them."""

import re
from collections.abc import Iterator

import pytest
from botocore.credentials import Credentials

from sluice.adapters.gateway import function_url
from sluice.adapters.gateway.function_url import sign_for
from sluice.adapters.gateway.upstream import HttpUpstream
from sluice.domain.errors import ModelUnavailable
from sluice.ports.gateway import UpstreamCall
from tests.unit.aws.iam_server import Gate, iam_server

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`

REGION = "eu-central-1"
ROLE = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "IQoJb3JpZ2luX2VjE//////+==")
made: list[HttpUpstream] = []  # their open connections are closed after each test
TEXT = "Grüße aus 東京 & mehr?"


@pytest.fixture(autouse=True, params=["elsewhere", "on Lambda"])
def environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Credentials as Lambda gives them to a function: in its environment, with a session token."""
    if request.param == "on Lambda":
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "gateway")
    monkeypatch.setenv("AWS_REGION", REGION)
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    for name, value in zip(names, ROLE, strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    function_url._signer.cache_clear()
    yield
    function_url._signer.cache_clear()
    while made:
        idle = made.pop()._pool._idle
        while idle:
            idle.pop().close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    with iam_server(Credentials(*ROLE), REGION) as made:
        yield made


def upstream(url: str, auth: function_url.Auth = "iam") -> HttpUpstream:
    made.append(HttpUpstream(url, connect_seconds=2.0, idle_seconds=5.0, sign=sign_for(url, auth)))
    return made[-1]


def call(path: str = "/v1/embeddings", *, stream: bool = False) -> UpstreamCall:
    body = {"model": "demo", "input": TEXT, "stream": stream}
    return UpstreamCall(path, body, request_id="req_1", account_id="usr_1", deadline_seconds=5.0)


def test_every_kind_of_request_is_accepted(gate: Gate) -> None:
    signed = upstream(gate.url)
    assert signed.models() == [{"id": "demo"}]
    assert signed.fetch(call())["data"] == [{"id": "demo"}]
    assert list(signed.open(call("/v1/chat/completions", stream=True))) == [b'{"choices":[]}']
    assert signed.health()["http_status"] == 200
    assert gate.let_in == ["/v1/models", "/v1/embeddings", "/v1/chat/completions", "/healthz"]
    assert gate.refused == []


def test_the_whole_path_below_the_url_is_signed(gate: Gate) -> None:
    upstream(gate.url + "/behind/a proxy%20".replace(" ", "%20")).models()
    assert gate.let_in == ["/behind/a%20proxy%20/v1/models"]


def test_an_unsigned_request_is_refused_and_the_caller_gets_model_unavailable(gate: Gate) -> None:
    with pytest.raises(ModelUnavailable):
        upstream(gate.url, "none").fetch(call())
    assert gate.refused == ["/v1/embeddings"]


def test_the_signature_covers_the_body(gate: Gate) -> None:
    sign = sign_for(gate.url, "iam")
    assert sign is not None
    headers = {name.lower(): value for name, value in sign("POST", "h", "/v1/x", b"one").items()}
    assert gate.lets_in("POST", "/v1/x", headers, b"one")
    assert not gate.lets_in("POST", "/v1/x", headers, b"two")
    assert not gate.lets_in("POST", "/v1/y", headers, b"one")
    assert not gate.lets_in("PUT", "/v1/x", headers, b"one")


def test_rotated_credentials_sign_the_next_request(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore refreshes its object in place (a container's role on ECS, for one)."""
    from botocore.session import Session

    for name in ("AWS_LAMBDA_FUNCTION_NAME", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    rotating = Credentials("AKIDOLD", "old", "old-token")
    monkeypatch.setattr(Session, "get_credentials", lambda self: rotating)
    signed = upstream(gate.url)
    with pytest.raises(ModelUnavailable):
        signed.models()
    rotating.access_key, rotating.secret_key, rotating.token = ROLE

    assert signed.models() == [{"id": "demo"}]


def test_without_credentials_the_model_is_unavailable_until_there_are_some(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.session import Session

    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    with monkeypatch.context() as nothing:
        nothing.delenv("AWS_ACCESS_KEY_ID")
        nothing.setattr(Session, "get_credentials", lambda self: None)
        signed = upstream(gate.url)
        with pytest.raises(ModelUnavailable):
            signed.models()
    with monkeypatch.context() as unknown:
        unknown.delenv("AWS_ACCESS_KEY_ID")
        unknown.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(ModelUnavailable):
            signed.models()
    assert signed.models() == [{"id": "demo"}]
    assert gate.refused == []


@pytest.mark.parametrize(
    ("url", "auth", "signs"),
    [
        ("https://abc123.lambda-url.eu-west-1.on.aws", "auto", True),
        ("https://abc123.lambda-url.eu-west-1.on.aws/", "auto", True),
        ("https://abc123.lambda-url.eu-west-1.on.aws", "none", False),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/openai", "auto", True),
        ("https://bedrock-runtime.us-east-1.amazonaws.com.evil.example", "auto", False),
        ("https://abc123.execute-api.us-east-1.amazonaws.com/live", "auto", False),
        ("https://abc123.execute-api.us-east-1.amazonaws.com/live", "iam", True),
        ("https://model.internal:8081", "auto", False),
        ("https://model.internal:8081", "iam", True),
        ("https://abc.lambda-url.eu-west-1.on.aws.evil.example", "auto", False),
        ("http://127.0.0.1:8081", "auto", False),
    ],
)
def test_only_function_urls_and_bedrock_get_a_signature_unless_the_setting_asks_for_it(
    url: str, auth: function_url.Auth, signs: bool
) -> None:
    """A signed request is a credential for five minutes, so no other host may get one unasked."""
    assert (sign_for(url, auth) is not None) == signs


def test_the_region_is_read_from_the_url() -> None:
    url = "https://abc123.lambda-url.ap-southeast-2.on.aws"
    sign = sign_for(url, "auto")
    assert sign is not None
    headers = {name.lower(): value for name, value in sign("GET", "abc123.lambda-url", "/", b"").items()}
    assert "/ap-southeast-2/lambda/aws4_request" in headers["authorization"]


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("bedrock-runtime.us-west-2.amazonaws.com", "/us-west-2/bedrock/"),
        ("bedrock-runtime-fips.us-west-2.amazonaws.com", "/us-west-2/bedrock/"),
        ("vpce-0a1b-2c3d.bedrock-runtime.eu-west-1.vpce.amazonaws.com", "/eu-west-1/bedrock/"),
        ("abc123.execute-api.eu-west-1.amazonaws.com", "/eu-west-1/execute-api/"),
        ("abc123-vpce-1.execute-api.eu-west-1.amazonaws.com", "/eu-west-1/execute-api/"),
        ("model.internal", f"/{REGION}/lambda/"),
    ],
)
def test_the_signature_is_for_the_service_of_the_host(host: str, scope: str) -> None:
    sign = sign_for(f"https://{host}/openai", "iam")
    assert sign is not None
    headers = {name.lower(): value for name, value in sign("POST", host, "/openai/v1/models", b"").items()}
    assert scope in headers["authorization"]


@pytest.mark.parametrize("auth", ["auto", "iam"])
def test_a_service_that_is_named_is_signed_for_behind_any_host(auth: function_url.Auth) -> None:
    sign = sign_for("https://models.example.org/openai/v1", auth, "execute-api")
    assert sign is not None
    headers = {name.lower(): value for name, value in sign("GET", "models.example.org", "/v1/models", b"").items()}
    assert f"/{REGION}/execute-api/" in headers["authorization"]
    assert sign_for("https://models.example.org", "none", "bedrock") is None


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_a_base_url_may_end_as_openais_sdks_want_it(end: str, gate: Gate) -> None:
    upstream(gate.url + "/openai" + end).models()
    assert gate.let_in == ["/openai/v1/models"]


@pytest.mark.parametrize("service", ["execute-api", "bedrock"])
def test_a_server_that_asks_for_another_services_signature_accepts_it(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function_url, "HOSTS", {service: re.compile(r"127\.0\.0\.(?P<region>1)")})
    with iam_server(Credentials(*ROLE), "1") as gate:
        gate.service = service
        assert upstream(gate.url + "/openai").models() == [{"id": "demo"}]
        gate.service = "lambda"
        with pytest.raises(ModelUnavailable):
            upstream(gate.url).models()
