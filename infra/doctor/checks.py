"""All checks, in the order of the output."""

from collections.abc import Callable, Iterable

from infra.doctor import configuration, machine
from infra.doctor.finding import Finding

ALL: tuple[Callable[[], Iterable[Finding]], ...] = (
    machine.python,
    machine.llama_cpp,
    machine.store_binary,
    machine.data_directory,
    machine.disk,
    configuration.settings,
    configuration.model,
)
