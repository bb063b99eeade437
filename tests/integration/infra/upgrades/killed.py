"""`python -m … DATA_DIR begin|fail WHEN NAME NTH`: it kills itself before or after the NTH call of NAME."""

import os
import pkgutil
import signal
import sys
from pathlib import Path
from typing import Any

from infra.upgrading import Upgrade
from tests.integration.infra.upgrades.conftest import PREFIX


def main(data: str, what: str, when: str, name: str, nth: str) -> None:
    module, _, attribute = name.rpartition(".")
    place: Any = pkgutil.resolve_name(module)
    original, left = getattr(place, attribute), [int(nth)]

    def dies(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if not left[0] and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(place, attribute, dies)
    upgrade = Upgrade(Path(data), PREFIX, lambda text: None)
    if what == "begin":
        upgrade.begin()
    else:
        upgrade.fail("it did not become healthy")


if __name__ == "__main__":
    main(*sys.argv[1:])
