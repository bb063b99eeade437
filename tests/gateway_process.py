"""The gateway under the gunicorn of a local run, as a process of its own, and API tokens that it believes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from sluice.adapters.tokens.jwt_tokens import Signer
from sluice.adapters.tokens.keys import SIGNING_FILE, parse_signing_key
from sluice.domain.tokens import Claims
from tests.conftest import aws_environment
from tests.integration.gateway.admission import engines
from tests.integration.gateway.admission.world import PREFIX
from tests.ports import free_port
from tests.store_process import ROOT

GUNICORN_CONFIG = ROOT / "infra" / "local" / "gunicorn.conf.py"


@contextmanager
def running(
    store_url: str, data_dir: Path, model_url: str, **variables: str
) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Yields its port and the process, which may be killed by `kill`. `data_dir` has its keys."""
    number = free_port()
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SLUICE_"))}
    asked = {
        "PORT": str(number),
        "SLUICE_TABLE_PREFIX": PREFIX,
        "SLUICE_DATA_DIR": str(data_dir),
        "SLUICE_INFERENCE_URL": model_url,
        "SLUICE_LOCAL": "1",
        "PROMETHEUS_MULTIPROC_DIR": str(data_dir / "metrics"),
        **variables,
    }
    command = [sys.executable, "-m", "gunicorn", "--config", str(GUNICORN_CONFIG), "functions.gateway.app:create()"]
    with (data_dir / "log").open("ab") as log:
        gateway = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**own, **aws_environment(store_url), **asked},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            engines.wait_for(number, gateway)
            yield number, gateway
        finally:
            gateway.terminate()
            gateway.wait(120)


def kill(gateway: "subprocess.Popen[bytes]") -> None:
    """The process and its worker, at once: a worker that outlives it would go on for a while."""
    os.killpg(gateway.pid, signal.SIGKILL)
    gateway.wait()


def api_token(data_dir: Path, account_id: str, token_id: str, *scopes: str) -> str:
    """Valid for an hour. The account's grant must name it."""
    now_s, file = int(time.time()), data_dir / "keys" / SIGNING_FILE
    claims = Claims(token_id, account_id, now_s, now_s + 3600, frozenset(scopes), None)
    return Signer(parse_signing_key(file.read_bytes(), str(file)), "sluice").sign(claims)


def measured(data_dir: Path, name: str) -> float:
    """A metric of the gateways that run with this folder, without labels: its value, or the sum of what it observed."""
    together = CollectorRegistry()
    MultiProcessCollector(together, path=str(data_dir / "metrics"))  # type: ignore[no-untyped-call]
    samples = [sample for metric in together.collect() for sample in metric.samples]
    return sum(sample.value for sample in samples if sample.name in (name, f"{name}_sum"))
