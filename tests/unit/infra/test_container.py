"""`Containerfile` and `compose.yaml`, which are not built here: that needs a container engine."""

import json
import os
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from infra.local import config
from tests.contract.markdown import ROOT

FILE = (ROOT / "Containerfile").read_text()
BUILD, FINAL = re.split(r"^FROM .*$", FILE, flags=re.MULTILINE)[1:]
GIVEN = {"DOMAIN": "sluice.example.org", "SLUICE_MAIL": "smtp://mail.example.org"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"])


def test_the_image_runs_without_root_and_without_what_built_it() -> None:
    assert re.findall(r"^USER (.+)$", FILE, re.MULTILINE) == ["10001"] and "useradd --uid 10001" in FINAL
    assert "build-essential" in BUILD and not re.search(r"build-essential|pip install|COPY \.", FINAL)
    assert re.findall(r"^FROM (\S+)", FILE, re.MULTILINE) == ["python:3.11-slim-bookworm"] * 2  # of both platforms


def test_everything_in_the_image_but_the_project_itself_is_installed_by_its_hash() -> None:
    installs = re.findall(r"pip install(.*?)(?:\n(?! )|$)", BUILD, re.DOTALL)
    assert [one.split()[-1] for one in installs if "--require-hashes" not in one] == ["/src"]
    assert len(installs) == 4 and "store.install(" in BUILD


def test_the_image_says_how_it_is_whether_it_is_well_and_where_its_data_are() -> None:
    assert re.search(r"^HEALTHCHECK .*127\.0\.0\.1:8080/healthz", FINAL, re.MULTILINE)
    assert "VOLUME /data" in FINAL and "SLUICE_DATA_DIR=/data" in FINAL and 'CMD ["sluice", "up"]' in FINAL
    assert "install --directory --owner 10001 --mode 0700 /data" in FINAL


def test_the_images_settings_are_accepted_with_those_of_compose(services: dict[str, Any]) -> None:
    given = dict(re.findall(r"(SLUICE_\w+)=(\S+)", FINAL)) | services["sluice"]["environment"]
    read = config.read({name: _filled(value) for name, value in given.items()})
    assert (read.host, str(read.data_dir), read.base_url) == ("0.0.0.0", "/data", "https://sluice.example.org")
    assert read.mail == GIVEN["SLUICE_MAIL"]


def _filled(value: str) -> str:
    return re.sub(r"\$\{(\w+)[^}]*\}", lambda found: GIVEN.get(found[1], ""), value)


def test_the_context_has_what_the_build_copies_and_no_secrets() -> None:
    let_in = [line[1:] for line in (ROOT / "Containerfile.dockerignore").read_text().splitlines() if line[:1] == "!"]
    assert all(list(ROOT.glob(pattern)) for pattern in let_in)
    copied = set(" ".join(re.findall(r"^COPY (?!--from)(.+) \S+$", FILE, re.MULTILINE)).split()) - {"."}
    assert all(any(name == one or name.startswith(f"{one}/") for one in let_in) for name in copied), copied
    included = re.search(r"^only-include = (.*)$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert included is not None
    for path in json.loads(included[1]):
        assert any((ROOT / path).match(f"{ROOT}/{one}") or path.startswith(f"{one}/") for one in let_in), path


def test_both_services_have_a_read_only_root_and_no_more_rights_than_they_need(services: dict[str, Any]) -> None:
    assert set(services) == {"sluice", "caddy"}
    for service in services.values():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert services["caddy"]["cap_add"] == ["NET_BIND_SERVICE"] and "cap_add" not in services["sluice"]
    assert not any(service.get("privileged") for service in services.values())


def test_only_caddy_is_published_and_sluice_trusts_no_other_network_than_theirs(services: dict[str, Any]) -> None:
    document = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert "ports" not in services["sluice"]
    (network,) = document["networks"]["front"]["ipam"]["config"]
    assert services["sluice"]["environment"]["SLUICE_TRUSTED_PROXIES"] == network["subnet"]
    assert re.fullmatch(r"caddy:\d+\.\d+\.\d+-alpine", services["caddy"]["image"])
    assert services["caddy"]["depends_on"] == {"sluice": {"condition": "service_healthy"}}


def test_caddy_reads_our_file_and_tells_sluice_when_a_caller_leaves(services: dict[str, Any]) -> None:
    assert "./Caddyfile:/etc/caddy/Caddyfile:ro" in services["caddy"]["volumes"]
    rules = [line.strip() for line in (ROOT / "Caddyfile").read_text().splitlines() if "#" not in line]
    assert rules[0] == "{$DOMAIN} {" and "reverse_proxy sluice:8080 {" in rules
    assert not any(line.startswith("flush_interval") for line in rules)


def test_docker_compose_itself_accepts_the_file_and_asks_for_what_is_missing() -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("no `docker compose` here: install Docker's client and its compose plugin")
    words = ["docker", "compose", "--file", str(ROOT / "compose.yaml"), "config", "--format", "json"]
    told = json.loads(subprocess.run(words, env=os.environ | GIVEN, capture_output=True, timeout=60, check=True).stdout)
    assert told["services"]["caddy"]["environment"] == {"DOMAIN": GIVEN["DOMAIN"]}
    without = {name: value for name, value in os.environ.items() if name not in GIVEN}
    refused = subprocess.run(words, env=without, capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0 and "the name under which people reach it" in refused.stderr
