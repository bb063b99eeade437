import os
from pathlib import Path

import pytest

from infra.local import config
from infra.local.errors import LaunchError
from infra.local.settings_check import problems

INSIDE = config.Inside("http://127.0.0.1:1", Path("/run/store.sock"), Path("/run/inference.sock"))


def test_defaults_are_those_of_the_contract() -> None:
    asked = config.read({})
    assert (asked.host, asked.port, asked.mail, asked.store_url) == ("127.0.0.1", 8080, "outbox", None)
    assert asked.base_url == "http://127.0.0.1:8080"
    assert asked.data_dir == Path(".sluice").absolute()


def test_base_url_follows_the_port_unless_it_is_given() -> None:
    assert config.read({"PORT": "9000"}).base_url == "http://127.0.0.1:9000"
    assert config.read({"PORT": "9000", "SLUICE_BASE_URL": "https://s.example/"}).base_url == "https://s.example"


def test_empty_variables_count_as_unset() -> None:
    names = ("PORT", "SLUICE_HOST", "SLUICE_MAIL", "SLUICE_BASE_URL", "SLUICE_DATA_DIR", "AWS_ENDPOINT_URL")
    assert config.read(dict.fromkeys(names, "")) == config.read({})


@pytest.mark.parametrize("port", ["0", "65536", "-1", "8o8o", "80.5", "٨٠٨٠", " 80"])
def test_port_has_to_be_a_port(port: str) -> None:
    with pytest.raises(LaunchError, match="PORT has to be"):
        config.read({"PORT": port})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SLUICE_INFERENCE_KV_TYPE", "q1", "'q8_0' or 'q4_0', but it is 'q1'"),
        ("SLUICE_ALLOWED_ORIGINS", "a.example", "'a.example' is neither * nor an origin such as https://app.example"),
    ],
)
def test_a_wrong_setting_is_called_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    (line,) = problems()
    assert line.startswith(f"{name}: ") and line.endswith(says) and "Value error" not in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_outbox_is_for_loopback_only(host: str) -> None:
    with pytest.raises(LaunchError, match="everyone's mails"):
        config.read({"SLUICE_HOST": host})
    assert config.read({"SLUICE_HOST": host, "SLUICE_MAIL": "smtp://127.0.0.1:2525"}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_outbox_is_allowed_on_loopback(host: str) -> None:
    assert config.read({"SLUICE_HOST": host}).mail == "outbox"


@pytest.mark.parametrize("path", ["/tmp/a%b", "/tmp/a;b", "/tmp/a\nb"])
def test_a_folder_name_that_supervisord_cannot_read_is_refused(path: str) -> None:
    with pytest.raises(LaunchError, match="SLUICE_DATA_DIR"):
        config.read({"SLUICE_DATA_DIR": path})


def test_child_processes_need_no_aws_account() -> None:
    child = config.child_environment(config.read({}), INSIDE, {"AWS_PROFILE": "work"})
    assert "AWS_PROFILE" not in child
    assert child["AWS_ACCESS_KEY_ID"] == "local"
    assert child["AWS_EC2_METADATA_DISABLED"] == "true"
    assert child["AWS_CONFIG_FILE"] == os.devnull


def test_the_credentials_of_a_users_own_store_are_kept() -> None:
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "s"}
    child = config.child_environment(config.read(env), config.Inside("http://127.0.0.1:4566", None, Path("e")), env)
    assert child["AWS_ACCESS_KEY_ID"] == "mine"
    assert child["AWS_ENDPOINT_URL_DYNAMODB"] == "http://127.0.0.1:4566"


@pytest.mark.parametrize(
    ("store", "streams"),
    [
        ("https://dynamodb.eu-west-1.amazonaws.com", "https://streams.dynamodb.eu-west-1.amazonaws.com"),
        ("http://10.0.0.5:8000", "http://10.0.0.5:8000"),
    ],
)
def test_streams_are_where_the_store_has_them(store: str, streams: str) -> None:
    env = {"AWS_ENDPOINT_URL_DYNAMODB": store}
    child = config.child_environment(config.read(env), config.Inside(store, None, Path("e")), env)
    assert child["AWS_ENDPOINT_URL_DYNAMODB_STREAMS"] == streams
    assert ("AWS_ACCESS_KEY_ID" in child) == store.startswith("http:")  # Amazon's: those of this machine's role


@pytest.mark.parametrize(
    ("env", "made_up"),
    [
        ({"SLUICE_DOCUMENTS_BUCKET": "b"}, False),  # on AWS, perhaps with the role of this machine
        ({"SLUICE_DOCUMENTS_BUCKET": "b", "AWS_ENDPOINT_URL_S3": "http://10.0.0.6:9000"}, True),
        ({"SLUICE_DOCUMENTS_BUCKET": "b", "AWS_PROFILE": "work"}, False),
    ],
)
def test_a_bucket_is_used_with_the_credentials_that_there_are(env: dict[str, str], made_up: bool) -> None:
    child = config.child_environment(config.read(env), INSIDE, env)
    assert ("AWS_ACCESS_KEY_ID" in child) == made_up and "AWS_EC2_METADATA_DISABLED" not in child
    assert child.get("AWS_PROFILE") == env.get("AWS_PROFILE")


def test_requests_between_processes_use_no_proxy() -> None:
    child = config.child_environment(
        config.read({}), INSIDE, {"HTTP_PROXY": "http://proxy", "NO_PROXY": "corp.example"}
    )
    assert child["NO_PROXY"].split(",") == ["corp.example", "127.0.0.1", "localhost"]
