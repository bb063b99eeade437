"""A real Caddy or nginx with the configuration that `sluice proxy` writes, on ports of loopback, as any user."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from infra.local import ports  # not tests.ports, which holds the UDP port: HTTP/3 needs it
from infra.proxies.configuration import CADDY, NGINX, render
from tests.e2e.people import outbox
from tests.e2e.place import Stack, own_environment
from tests.e2e.system import GENEROUS, System
from tests.tls import make_certificate

DOMAIN = "localhost"
START_SECONDS = 60
PACKAGES = {CADDY: "caddy", NGINX: "nginx-light"}
NGINX_MAIN = """\
daemon off; {user} worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    proxy_read_timeout 2s; proxy_send_timeout 2s; send_timeout 60s;  # instead of nginx's own 60 s
    include {folder}/sluice.conf;
}}
"""
CADDY_MAIN = """\
{{
	admin off
	http_port {plain}
	https_port {port}
	default_bind 127.0.0.1
	skip_install_trust
	storage file_system {folder}/storage
	servers {{
		timeouts {{
			idle 2s
		}}
	}}
}}
"""


@dataclass(frozen=True)
class Front:
    """`url` without a slash at its end. `authority`: the file whose certificates a client has to trust."""

    kind: str
    port: int
    plain_port: int
    authority: Path

    @property
    def url(self) -> str:
        return f"https://{DOMAIN}:{self.port}"

    def connect(self, source: str = "127.0.0.1") -> ssl.SSLSocket:
        """A connection from that address, with HTTP/1.1."""
        context = ssl.create_default_context(cafile=str(self.authority))
        raw = socket.create_connection(("127.0.0.1", self.port), 30, (source, 0))
        return context.wrap_socket(raw, server_hostname=DOMAIN)


def why_missing(kind: str) -> str:
    return "" if shutil.which(kind) else f"{kind} is not installed (Debian: apt install {PACKAGES[kind]})"


def need(kind: str) -> None:
    """Skip where the proxy is missing; with SUITE_REQUIRED=1 fail."""
    if reason := why_missing(kind):
        if os.environ.get("SUITE_REQUIRED") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@contextmanager
def running(kind: str, folder: Path, *app_ports: int, port: int | None = None) -> Iterator[Front]:
    """A proxy in front of these ports, until the block ends. `folder` is made."""
    folder.mkdir(mode=0o700)
    port, plain = port or ports.free(), ports.free()
    text = render(kind, DOMAIN, [f"127.0.0.1:{one}" for one in app_ports])
    command, authority = {CADDY: _caddy, NGINX: _nginx}[kind](folder, text, port, plain)
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command, env=own_environment() | {"HOME": str(folder)}, stdout=out, stderr=out)
        try:
            front = Front(kind, port, plain, authority)
            _wait(front, process, folder)
            yield front
        finally:
            process.terminate()
            process.wait(30)


def _caddy(folder: Path, text: str, port: int, plain: int) -> tuple[list[str], Path]:
    file = folder / "Caddyfile"
    file.write_text(CADDY_MAIN.format(folder=folder, port=port, plain=plain) + text)
    authority = folder / "storage" / "pki" / "authorities" / "local" / "root.crt"
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)], authority


def _nginx(folder: Path, text: str, port: int, plain: int) -> tuple[list[str], Path]:
    """The file as written, but for its ports and the paths that only root may write."""
    certificate = make_certificate(folder)
    for was, now in {
        r"listen \[::\].*\n": "",
        r"listen 80;": f"listen 127.0.0.1:{plain};",
        r"listen 443 ": f"listen 127.0.0.1:{port} ",
        r"/etc/letsencrypt/live/localhost/\w+\.pem": str(certificate),
        r"/var/www/certbot": str(folder),
    }.items():
        text, count = re.subn(was, now, text)
        assert count, was
    (folder / "sluice.conf").write_text(text)
    main = folder / "nginx.conf"
    main.write_text(NGINX_MAIN.format(folder=folder, user="" if os.geteuid() else "user root;"))
    return ["nginx", "-e", str(folder / "nginx.log"), "-c", str(main)], certificate


def _wait(front: Front, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            return front.connect().close()
        except OSError:
            assert process.poll() is None and time.monotonic() < until, (folder / "out").read_text()
            time.sleep(0.05)


@contextmanager
def trusted(authority: Path) -> Iterator[dict[str, str]]:
    """This process's clients trust the certificates of `authority`; the variables do the same for another process."""
    variables = dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"), str(authority))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield variables


def place(kind: str) -> Callable[[Path], object]:
    """What `SLUICE_E2E` names: a system of this machine behind the proxy."""

    @contextmanager
    def behind(folder: Path) -> Iterator[Stack]:
        need(kind)
        port = ports.free()
        behind_it = {"SLUICE_BASE_URL": f"https://{DOMAIN}:{port}", "SLUICE_TRUSTED_PROXIES": "127.0.0.1,::1"}
        system = System(folder / "data", GENEROUS | behind_it)
        try:
            system.start()
            with running(kind, folder / kind, system.port, port=port) as front, trusted(front.authority) as variables:
                yield Stack(front.url, system.environment | variables, partial(outbox, system.base_url))
        finally:
            system.discard()

    return behind


caddy, nginx = place(CADDY), place(NGINX)
