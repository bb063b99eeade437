"""SAM's validation, cfn-lint and checkov on template.yaml, before and after SAM's transform."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.aws import built
from tests.aws.packaging.checkov_skips import SKIPS
from tests.aws.tools import install
from tests.unit.aws.template import transformed

CFN_LINT = Path(sys.executable).with_name("cfn-lint")
TEMPLATE = built.ROOT / "template.yaml"
OTHERS = [built.ROOT / "infra" / "aws" / name for name in ("data.yaml", "alarms.yaml")]
# Of the transformed template: what SAM itself writes, or leaves behind: parameters and conditions that only the
# transform looked at, `Sub` whose parameters it has filled in, the nested template's path, which `package` replaces.
OF_SAM = frozenset({"W2001", "W8001", "W1020", "W3002"})
VARIANTS: dict[str, dict[str, str]] = {
    "by default": {},
    "smtp, own domain, own model server, nothing by degrees": {
        "Mail": "smtp",
        "DomainName": "api.example.com",
        "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/1",
        "HostedZoneId": "Z123",
        "InferenceUrl": "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1",
        "InferenceModels": "gpt=openai.gpt-oss-20b-1:0",
        "BedrockModels": "openai.gpt-oss-20b-1:0",
        "AlarmMail": "ops@example.com",
        "GradualDeployment": "false",
        "Architecture": "x86_64",
    },
}


def run(*words: str | Path, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, timeout=seconds, cwd=built.ROOT, env=built.environment(), check=False
    )


@pytest.fixture(scope="module", params=VARIANTS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The transformed template, in a file."""
    path = tmp_path_factory.mktemp("transformed") / "template.json"
    path.write_text(json.dumps(transformed(**VARIANTS[request.param]), indent=1))
    return path


def test_sam_finds_it_valid() -> None:
    done = run(install.install("sam"), "validate", "--lint", "--template", TEMPLATE)
    assert done.returncode == 0 and "is a valid SAM Template" in done.stdout, done.stdout + done.stderr


def test_cfn_lint_finds_nothing_in_the_source() -> None:
    done = run(CFN_LINT, TEMPLATE, *OTHERS)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_cfn_lint_finds_nothing_in_the_transformed_template(made: Path) -> None:
    """Circular dependencies are visible only after the transform."""
    done = run(CFN_LINT, "--format", "json", made)
    found = [one for one in json.loads(done.stdout or "[]") if one["Rule"]["Id"] not in OF_SAM]
    assert [(one["Rule"]["Id"], one["Message"]) for one in found] == []


@pytest.mark.parametrize("source", [True, False], ids=["source", "transformed"])
def test_every_finding_of_checkov_has_a_reason(source: bool, tmp_path: Path) -> None:
    path = TEMPLATE
    if not source:
        path = tmp_path / "template.json"
        path.write_text(json.dumps(transformed(), indent=1))
    checkov = install.install("checkov")
    files = [word for one in (path, *OTHERS) for word in ("-f", one)]
    done = run(checkov, *files, "--framework", "cloudformation", "--compact", "--skip-download", "-o", "json")
    assert done.stdout, done.stderr
    told: Any = json.loads(done.stdout)
    report = told[0] if isinstance(told, list) else told
    failed: dict[str, list[str]] = {}
    for one in report["results"]["failed_checks"]:
        failed.setdefault(one["check_id"], []).append(one["resource"])
    print(f"checkov: {report['summary']['passed']} passed, {len(failed)} kinds left out with a reason")
    assert report["summary"]["passed"] > 40 and report["summary"]["parsing_errors"] == 0
    assert {kind: where for kind, where in failed.items() if kind not in SKIPS} == {}
    assert set(SKIPS) - set(failed) == set(), "reasons that nothing needs"


def test_hadolint_finds_nothing_in_the_images() -> None:
    """What is left out, and why, is in .hadolint.yaml."""
    try:
        hadolint = install.install("hadolint")
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
        pytest.skip(f"hadolint cannot be installed here: {exc}")
    files = [built.ROOT / "Containerfile", *(built.ROOT / "functions" / "inference").glob("Dockerfile*")]
    assert len(files) == 4
    done = run(hadolint, *files)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout
