"""A deployment to the emulator as a place for the end-to-end tests: `SLUICE_E2E=emulator`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.aws.localstack import GENEROUS
from tests.aws.built import built
from tests.aws.emulator.deployment import Deployment, parameters
from tests.aws.emulator.server import Emulator
from tests.aws.emulator.server import running as running_emulator
from tests.e2e.people import Mails
from tests.e2e.place import Stack, kind_of, own_environment
from tests.integration.inference.server import running as running_model


@contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """Deployed with high limits and without throttles, and stopped afterwards."""
    with running_emulator(folder) as emulator, running_model(folder) as model:
        made = Deployment(emulator, built(), folder, parameters(model.url) | GENEROUS, throttles=False)
        made.prepare()
        made.deploy()
        variables = own_environment() | emulator.keys | {"SLUICE_TABLE_PREFIX": made.table_prefix}
        yield Stack(made.base_url, variables, mails_of(emulator))


def mails_of(emulator: Emulator) -> Callable[[str], Mails]:
    """What `people.MAILBOXES` wants."""

    def mails_to(address: str) -> Mails:
        mails = reversed(emulator.sent_to(address))  # it keeps them oldest first
        return [{"kind": kind_of(m["Subject"]), "subject": m["Subject"], "text": m["BodyText"]} for m in mails]

    return mails_to
