"""The words of `sluice deploy`, read by SAM's own command line."""

import json
import subprocess

import pytest

from infra.aws.deploying import CONFIG
from infra.aws.parameters import overrides
from tests.aws import built
from tests.aws.tools import install

READ = """
import json, sys
from samcli.commands.deploy.command import cli
context = cli.make_context("deploy", json.load(sys.stdin))
print(json.dumps(dict(context.params["parameter_overrides"])))
"""
VALUES = {
    "MailFrom": "Sluice <no-reply@example.org>",
    "Quoted": 'The "Sluice" of <a@example.org>, it\'s here',
    "InferenceUrl": "",
    "Commas": "a=b,c=d e=f",
    "BedrockModels": "openai.gpt-oss-20b-1:0,openai.gpt-oss-120b-1:0",
    "Same": "plain",
    "Blanks": " before and after ",
}


def read_by_sam(words: list[str]) -> dict[str, str]:
    python = install.install("sam").with_name("python")
    told = json.dumps(["--config-file", str(CONFIG), "--template-file", str(built.ROOT / "template.yaml"), *words])
    done = subprocess.run(
        [python, "-c", READ], input=told, text=True, capture_output=True, env=built.environment(), timeout=240
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("values", [VALUES, *({name: value} for name, value in VALUES.items())], ids=["all", *VALUES])
def test_sam_reads_each_value_as_it_was_given(values: dict[str, str]) -> None:
    assert read_by_sam(overrides(values)) == values


def test_without_quotation_marks_values_would_be_cut() -> None:
    """What this guards against; it fails when SAM no longer needs them."""
    assert read_by_sam(["--parameter-overrides", "MailFrom=Sluice <no-reply@example.org>"]) == {"MailFrom": "Sluice"}


def test_sam_knows_the_option_that_builds_the_image_with_buildkit() -> None:
    sam = install.install("sam")
    done = subprocess.run(
        [sam, "build", "--help"], text=True, capture_output=True, env=built.environment(), timeout=240
    )
    assert "--use-buildkit" in done.stdout
