"""Time from the start of gunicorn until ready, with the model in the page cache and without: … coldstart [MODEL]"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.gateway import processes

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "model" / "demo-model-q8_0.gguf"


def drop_from_cache(path: Path) -> None:
    """Drop the file from the page cache, without root rights."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def start_s(model: Path) -> float:
    (port,) = processes.free_ports(1)
    settings = {"SLUICE_MODEL": str(model), "SLUICE_INFERENCE_BIND": f"127.0.0.1:{port}"}
    command = [sys.executable, "-m", "gunicorn", "-c", "functions/inference/gunicorn.conf.py"]
    began = time.perf_counter()
    process = subprocess.Popen(
        [*command, "functions.inference.app:create_app()"],
        cwd=ROOT,
        env=os.environ | settings,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5):
                    return time.perf_counter() - began
            except (urllib.error.URLError, ConnectionError):
                if process.poll() is not None:
                    raise SystemExit("the server did not start") from None
                time.sleep(0.01)
    finally:
        processes.stop(process, patience_seconds=40)


def main() -> None:
    model = Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO
    start_s(model)
    warm = min(start_s(model) for _ in range(3))
    drop_from_cache(model)
    print(f"{model.name}: ready after {warm:.2f} s with a warm page cache, {start_s(model):.2f} s with a cold one")


if __name__ == "__main__":
    main()
