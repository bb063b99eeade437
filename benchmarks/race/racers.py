"""Who runs in the race: each gateway on one core, its store and the canned model server on the other."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway import processes
from benchmarks.gateway.requests import Target
from benchmarks.gateway.world import APP, GUNICORN, World, environment
from tests.aws.tools.install import install

HERE = Path(__file__).parent
START_SECONDS = 180.0
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  keepalive_requests 1000000000; access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Racer:
    """`instances`: processes that hold one limit between them. `stores`: what they keep their counts in."""

    name: str
    targets: Sequence[Target]  # one an instance
    limited: Sequence[Sequence[Target]]  # for one instance and for two, with a key of 20 requests a minute each
    instances: Sequence[int]
    stores: Sequence[int]

    def pids(self) -> list[int]:
        """Of the first instance, which runs alone but for the test of limits."""
        return family(self.instances[0])

    def store_pids(self) -> list[int]:
        return [pid for store in self.stores for pid in family(store)]


def family(pid: int) -> list[int]:
    return [pid] + [below for child in processes.children(pid) for below in family(child)]


def sluice(world: World, started: "list[subprocess.Popen[bytes]]", limited_tokens: Sequence[str]) -> Racer:
    (port,) = processes.free_ports(1)
    command = [sys.executable, "-m", "gunicorn", "--config", str(GUNICORN), APP]
    env = environment(world.folder, world.upstream_port, port)
    started.append(processes.start(command, world.cores.gateway, world.log, env))
    processes.wait_for_port(port)
    ports = (world.gateway_port, port)
    return Racer(
        "Sluice",
        [Target("Sluice", "127.0.0.1", each, world.tokens) for each in ports],
        [[Target("Sluice", "127.0.0.1", each, [token]) for each in ports] for token in limited_tokens],
        [world.gateway.pid, started[-1].pid],
        [world.store.pid],
    )


def nginx(world: World, started: "list[subprocess.Popen[bytes]]") -> Racer:
    """The floor: a proxy that asks nobody for a key and counts nothing."""
    (port,) = processes.free_ports(1)
    config = world.folder / "nginx.conf"
    config.write_text(NGINX.format(folder=world.folder, port=port, upstream=world.upstream_port))
    started.append(processes.start(["nginx", "-c", str(config)], world.cores.gateway, world.log))
    processes.wait_for_port(port)
    return Racer("nginx", [Target("nginx", "127.0.0.1", port, ["none"])], [], [started[-1].pid], [])


def litellm(world: World, started: "list[subprocess.Popen[bytes]]") -> Racer:
    redis_port, *ports = processes.free_ports(3)
    redis = ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(world.folder)]
    started.append(processes.start(redis, world.cores.others, world.log))
    store = started[-1].pid
    shutil.copy(HERE / "litellm_door.py", world.folder)
    config = world.folder / "litellm.json"  # JSON is YAML
    config.write_text(json.dumps(_litellm_settings(world.upstream_port, redis_port)))
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
        "SPEND_LOG": str(world.folder / "spend.jsonl"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # otherwise it asks the internet for prices
        "LITELLM_LOG": "ERROR",
        "LITELLM_MASTER_KEY": f"sk-{secrets.token_hex(32)}",  # it starts with none of its own only if one insists
    }
    instances = []
    for port in ports:
        command = [str(install("litellm", HERE)), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        started.append(processes.start([*command, "--telemetry", "False"], world.cores.gateway, world.log, env))
        instances.append(started[-1].pid)
    for port in ports:
        processes.wait_for_port(port, START_SECONDS)
    return Racer(
        "LiteLLM",
        [Target("LiteLLM", "127.0.0.1", port, [f"sk-{n}" for n in range(160)]) for port in ports],
        [[Target("LiteLLM", "127.0.0.1", port, [f"sk-limited-{n}"]) for port in ports] for n in (1, 2)],
        instances,
        [store],
    )


def _litellm_settings(upstream_port: int, redis_port: int) -> dict[str, object]:
    redis = {"host": "127.0.0.1", "port": redis_port}
    model = {"model": "openai/demo", "api_base": f"http://127.0.0.1:{upstream_port}/v1", "api_key": "none"}
    prices = {"input_cost_per_token": 1e-7, "output_cost_per_token": 4e-7}
    return {
        "model_list": [{"model_name": "demo", "litellm_params": model | prices}],
        "litellm_settings": {
            "cache": True,
            "cache_params": {"type": "redis", **redis, "supported_call_types": []},  # for counts, not for answers
            "callbacks": ["litellm_door.spend_log"],
            "num_retries": 0,
        },
        "router_settings": {"redis_host": "127.0.0.1", "redis_port": redis_port, "num_retries": 0},
        "general_settings": {"custom_auth": "litellm_door.check"},
    }
