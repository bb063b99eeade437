"""Where the end-to-end tests run: on a system of this machine, behind a proxy or not, or on a stack that is deployed to
an emulator of AWS.

`SLUICE_E2E=localstack` or `=emulator` chooses a stack, `=caddy` or `=nginx` a system behind that proxy, `=module:maker`
any other place; without it the suite starts a system. Each maker is a context manager that takes a scratch folder and
yields a `Place`.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from sluice.adapters.mails.wording import WORDING
from tests.e2e import people

LOCAL = "local"
FOREIGN = ("AWS_", "SLUICE_", "PORT", "MAKE", "MFLAGS")
MAKERS = {
    LOCAL: "tests.e2e.system:running",
    "localstack": "tests.e2e.localstack:running",
    "emulator": "tests.aws.emulator.stack:running",
    "caddy": "tests.proxies.front:caddy",
    "nginx": "tests.proxies.front:nginx",
}
BUFFERING = ("localstack", "emulator")  # an answer arrives there when it is whole, also a stream
BEHIND_PROXIES = ("caddy", "nginx")
CHOSEN = os.environ.get("SLUICE_E2E") or LOCAL


def own_environment() -> dict[str, str]:
    """This process's environment without settings of Sluice, AWS or make."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


class Place(Protocol):
    """What every test may use. What only `System` has is for tests marked `one_machine`."""

    @property
    def base_url(self) -> str: ...

    @property
    def environment(self) -> Mapping[str, str]:
        """The whole environment with which the `sluice` command reaches the store."""
        ...


@dataclass(frozen=True)
class Stack:
    """A deployed stack. `read_mails(address)` returns that address's mails, newest first: `kind`, `subject`, `text`."""

    base_url: str
    environment: Mapping[str, str]
    read_mails: Callable[[str], list[dict[str, Any]]]


@contextmanager
def running(folder: Path) -> Iterator[Place]:
    """The place that SLUICE_E2E names; `people.mails_to` finds its mails. Errors: ImportError (an unknown name)."""
    module, _, maker = MAKERS.get(CHOSEN, CHOSEN).partition(":")
    with getattr(import_module(module), maker)(folder) as place:
        if isinstance(place, Stack):
            people.MAILBOXES[place.base_url] = place.read_mails
        yield place


def kind_of(subject: str) -> str:
    """The kind of a mail, from its subject. Errors: StopIteration (not a subject of ours)."""
    return next(kind.value for kind, wording in WORDING.items() if wording.subject == subject)
