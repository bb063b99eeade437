"""How an operator makes an admin of a running system."""

import json
import subprocess

from tests.e2e import people
from tests.e2e.people import Person
from tests.e2e.place import Place
from tests.e2e.system import ROOT


def make_admin(system: Place) -> Person:
    """Makes an account an admin by the command, like an operator."""
    address = people.new_address()
    command = [str(ROOT / ".venv" / "bin" / "sluice"), "admin", "create", address, "--password-stdin", "--json"]
    done = subprocess.run(
        command, cwd=ROOT, env=system.environment, input=people.PASSWORD, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and json.loads(done.stdout)["role"] == "admin", done.stderr
    return people.log_in(system.base_url, address)
