"""SAM's own parser takes the words of `make sam-local`: it gets as far as it can without a container runtime."""

import os
import subprocess
from pathlib import Path

import pytest

from infra.aws import building, sam_local
from tests.aws.tools.install import install


@pytest.mark.parametrize("function", ["", "SweeperFunction", "GatewayFunction"])
def test_sam_takes_the_words_the_template_and_the_event(function: str, tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    source = building.without_image((building.ROOT / "template.yaml").read_text())
    template.write_text(sam_local.with_endpoint(source))
    words = sam_local.command(function)
    words[0], words[words.index("--template") + 1] = str(install("sam")), str(template)
    environment = os.environ | {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    environment |= {"DOCKER_HOST": f"unix://{tmp_path}/no-engine"}  # also where there is one, so that nothing starts
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert "requires a container runtime" in done.stderr, done.stderr
