"""Whether the service's user can run this installation."""

import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from infra.place import PROGRAM, ROOT

HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 (compared)
"""By the unit: ProtectHome= and PrivateTmp=."""
INSTEAD = """\
  Install it where everybody may read, for example:
  UV_TOOL_DIR=/opt UV_TOOL_BIN_DIR=/usr/local/bin UV_PYTHON_INSTALL_DIR=/opt/python \\
  uv tool install --compile-bytecode WHEEL"""


def used() -> tuple[Path, ...]:
    """What a start reads of this installation: the command, its packages, its Python."""
    return PROGRAM, ROOT / "infra", Path(sys.executable), Path(sys.base_prefix)


def why_not(paths: Iterable[Path]) -> str:
    """Why another user cannot read one of `paths`; "" if all can be read. Symbolic links are followed."""
    for path in paths:
        for real in (path, path.resolve()):
            if hidden := next((folder for folder in HIDDEN if real.is_relative_to(folder)), None):
                return f"{real} is in {hidden}, which the service does not see."
            for each in (real, *real.parents):
                mode = each.stat().st_mode
                needed = stat.S_IXOTH if each in real.parents else stat.S_IROTH
                if not mode & needed:
                    return (
                        f"{each} may not be read by other users, such as the service's (mode {stat.S_IMODE(mode):04o})."
                    )
    return ""
