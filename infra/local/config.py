"""The configuration of a local run: checks the environment and makes that of the child processes."""

import ipaddress
import os
import socket
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from infra import place
from infra.local.errors import LaunchError
from infra.place import ROOT
from sluice.domain.mails.servers import parse_mail_server

DEFAULT_PORT = 8080
LOOPBACK = "127.0.0.1"
REGION = "us-east-1"
UNWRITABLE = "%;\n\r"
"""Characters with a meaning in supervisord's configuration, which expands some values once and some twice."""


@dataclass(frozen=True)
class LocalConfig:
    """The settings of the launcher. All others belong to the functions (`sluice.settings`)."""

    host: str
    port: int
    data_dir: Path
    base_url: str
    mail: str
    store_url: str | None
    """The user's DynamoDB endpoint; None: the embedded store."""

    @property
    def url(self) -> str:
        """The app's URL on this machine."""
        host = {"0.0.0.0": LOOPBACK, "::": "[::1]", "::1": "[::1]"}.get(self.host, self.host)  # noqa: S104 (compared)
        return f"http://{host}:{self.port}"


@dataclass(frozen=True)
class Inside:
    """Where the processes of a run find each other. `store_socket`: None if the store is reached by its URL."""

    store_url: str
    store_socket: Path | None
    inference_socket: Path


def data_dir(env: Mapping[str, str] = os.environ) -> Path:
    """An absolute path, because child processes may have another working directory."""
    named = env.get("SLUICE_DATA_DIR")
    return Path(named).expanduser().absolute() if named else place.data(env)


def read(env: Mapping[str, str] = os.environ) -> LocalConfig:
    """The checked configuration. Raises LaunchError, which names the wrong variable."""
    host = env.get("SLUICE_HOST") or LOOPBACK
    port = _port(env.get("PORT") or str(DEFAULT_PORT))
    mail = env.get("SLUICE_MAIL") or "outbox"
    if mail == "outbox" and not is_loopback(host):
        raise LaunchError(
            f"SLUICE_HOST={host} is reachable from other machines, and SLUICE_MAIL=outbox would show them everyone's "
            "mails. Set SLUICE_MAIL=smtp://user:password@host:port (or ses), or leave SLUICE_HOST out."
        )
    if mail not in ("outbox", "ses"):
        try:
            parse_mail_server(mail)
        except ValueError as exc:
            raise LaunchError(f"SLUICE_MAIL has to be outbox, ses, or a mail server: {exc}.") from None
    base_url = env.get("SLUICE_BASE_URL") or f"http://{_in_url(host)}:{port}"
    if not base_url.startswith(("http://", "https://")):
        raise LaunchError(f"SLUICE_BASE_URL has to start with http:// or https://, but is {base_url!r}.")
    store_url = env.get("AWS_ENDPOINT_URL_DYNAMODB") or env.get("AWS_ENDPOINT_URL") or None
    if store_url and not store_url.startswith(("http://", "https://")):
        raise LaunchError(f"AWS_ENDPOINT_URL has to start with http:// or https://, but is {store_url!r}.")
    folder = data_dir(env)
    if any(character in f"{folder}{ROOT}" for character in UNWRITABLE):
        raise LaunchError(
            f"The paths of SLUICE_DATA_DIR ({folder}) and of the project must not contain %, ; or a newline."
        )
    return LocalConfig(host, port, folder, base_url.rstrip("/"), mail, store_url)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise LaunchError(f"PORT has to be a number from 1 to 65535, but is {text!r}.")
    return int(text)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether all addresses of `host` are loopback. Raises LaunchError when it cannot be resolved."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        raise LaunchError(f"SLUICE_HOST={host} cannot be resolved to an address.") from None
    return all(ipaddress.ip_address(str(address).split("%")[0]).is_loopback for address in found)


def admin_command(folder: Path, env: Mapping[str, str] = os.environ) -> str:
    """What makes the first admin; of a checkout, in its folder; of a service, as its user."""
    if env.get("SYSTEMD_EXEC_PID") == str(os.getpid()):
        return f"{as_service_user(env.get('USER', 'root'), folder)} admin create you@example.org"
    chosen = "" if folder == data_dir({}) else f"SLUICE_DATA_DIR={quote(str(folder))} "
    return f"{chosen}{place.COMMAND} admin create you@example.org"


def as_service_user(user: str, folder: Path) -> str:
    """How commands are called for a service: the store takes no other user, root neither."""
    return f"sudo -u {user} SLUICE_DATA_DIR={quote(str(folder))} {place.PROGRAM}"


def child_environment(config: LocalConfig, inside: Inside, env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of every child process: the user's, with the launcher's values."""
    child = dict(env) | {
        "PORT": str(config.port),
        "SLUICE_HOST": config.host,
        "SLUICE_DATA_DIR": str(config.data_dir),
        "SLUICE_BASE_URL": config.base_url,
        "SLUICE_MAIL": config.mail,
        "SLUICE_LOCAL": "1",
        "SLUICE_ADMIN_COMMAND": admin_command(config.data_dir),
        "SLUICE_INFERENCE_URL": f"unix:{inside.inference_socket}",
        "SLUICE_INFERENCE_BIND": f"unix:{inside.inference_socket}",
        "AWS_ENDPOINT_URL_DYNAMODB": inside.store_url,
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": streams_url(inside.store_url),
        "SLUICE_STORE_SOCKET": str(inside.store_socket or ""),
        "PROMETHEUS_MULTIPROC_DIR": str(config.data_dir / "run" / "metrics"),
        "PYTHONUNBUFFERED": "1",
    }
    child.pop("PYTHONDONTWRITEBYTECODE", None)  # otherwise every start would compile every module again
    # Requests between the processes of this machine must not go through a proxy.
    exempt = [part for part in (env.get("NO_PROXY") or env.get("no_proxy") or "").split(",") if part]
    child["NO_PROXY"] = child["no_proxy"] = ",".join([*exempt, LOOPBACK, "localhost"])
    if config.store_url is None and config.mail != "ses" and not env.get("SLUICE_DOCUMENTS_BUCKET"):
        forget_aws(child)
    complete(child)
    return child


def complete(env: MutableMapping[str, str]) -> None:
    """A region, and keys where none are named, because a store of one's own asks for some and checks none. For Amazon's
    store or bucket botocore may find the credentials of this machine's role."""
    own = env.get("AWS_ENDPOINT_URL")
    on_aws = of_amazon(env.get("AWS_ENDPOINT_URL_DYNAMODB") or own or "")
    on_aws |= bool(env.get("SLUICE_DOCUMENTS_BUCKET")) and not (env.get("AWS_ENDPOINT_URL_S3") or own)
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or REGION
    env.update(AWS_REGION=region, AWS_DEFAULT_REGION=region)  # botocore reads only the second one
    named = any(env.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"))
    if not named and not on_aws:
        env.update(AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local")


def streams_url(store_url: str) -> str:
    """Where a store's streams are: at its own address, except Amazon's."""
    return store_url.replace("://dynamodb.", "://streams.dynamodb.") if of_amazon(store_url) else store_url


def of_amazon(url: str) -> bool:
    return url.rstrip("/").endswith(".amazonaws.com")


def forget_aws(child: MutableMapping[str, str]) -> None:
    """Keep botocore from reading profiles and from asking the network for credentials, because AWS is not used."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"):
        child.pop(name, None)
    child.update(
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )
