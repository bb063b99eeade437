"""Runs a client in a process of its own, in an empty home folder with a cleared environment."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.clients.install import node_modules, python

HERE = Path(__file__).parent
RUN_SECONDS = 240
QUIET = {
    "DO_NOT_TRACK": "1",
    "OTEL_SDK_DISABLED": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # otherwise it is downloaded
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


def environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing of this machine's settings and keys, and telemetry off."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", **QUIET, **more}


def ended(
    command: Sequence[str | Path], env: Mapping[str, str], cwd: Path, script: str = ""
) -> subprocess.CompletedProcess[str]:
    """The program's output, however it ended."""
    return subprocess.run(
        command, env=dict(env), cwd=cwd, input=script, capture_output=True, text=True, timeout=RUN_SECONDS
    )


def finished(command: Sequence[str | Path], env: Mapping[str, str], cwd: Path, script: str = "") -> str:
    """What the program printed. It fails the test with the whole output if the program fails."""
    done = ended(command, env, cwd, script)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def node_script(name: str, env: Mapping[str, str]) -> dict[str, Any]:
    """The JSON in the last line of what `NAME.mjs` prints. It is Node's input, so that packages are found here."""
    words = ("node", "--input-type=module", "-")
    return _last_line(finished(words, env, node_modules().parent, (HERE / f"{name}.mjs").read_text()))


def python_script(lock: Path, name: str, env: Mapping[str, str]) -> dict[str, Any]:
    """The JSON in the last line of what `NAME_script.py` prints, run beside the packages of `lock`."""
    words = (python(lock), "-W", "ignore", HERE / f"{name}_script.py")
    return _last_line(finished(words, env, Path(env["HOME"])))


def _last_line(printed: str) -> dict[str, Any]:
    return dict(json.loads(printed.splitlines()[-1]))
