"""What SAM sends to Docker for the inference image, by the matcher of its own Docker library."""

import json
import os
import subprocess
from pathlib import Path

from tests.aws.tools.install import install

ROOT = Path(__file__).parents[3]
MOST_BYTES = 64 * 1024 * 1024  # the bundled models and some sources; the repository with its environment has gigabytes
LIST = """
import json, sys
from docker.utils.build import exclude_paths
patterns = open(".dockerignore").read().splitlines()
print(json.dumps(sorted(exclude_paths(".", patterns, dockerfile="functions/inference/Dockerfile"))))
"""


def test_the_context_of_the_image_holds_what_it_copies_and_nothing_else() -> None:
    python = install("sam").with_name("python")
    done = subprocess.run([python, "-c", LIST], cwd=ROOT, capture_output=True, text=True, timeout=240, check=True)
    sent = {Path(path) for path in json.loads(done.stdout) if (ROOT / path).is_file()}
    allowed = ("functions/inference/", "infra/setup/", "model/", "models/", ".dockerignore")
    assert [str(path) for path in sent if not str(path).startswith(allowed)] == []
    assert not [path for path in sent if "__pycache__" in path.parts]
    wanted = ("functions/inference/Dockerfile", "functions/inference/app.py", "infra/setup/llama.lock")
    models = ("model/demo-model-q8_0.gguf", "model/all-minilm-l6-v2-q8_0.gguf")
    assert {Path(name) for name in (*wanted, *models)} <= sent
    assert sum(os.stat(ROOT / path).st_size for path in sent if path.parts[0] != "models") < MOST_BYTES
