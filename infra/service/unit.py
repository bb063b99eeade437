"""The text of the unit. Each restriction that is left out is one that something here needs (ADR 107)."""

import hashlib
import re
from pathlib import Path

USER = "sluice"
NAME = f"{USER}.service"
FILE = Path("/etc/systemd/system") / NAME
DATA, SETTINGS, CACHE = Path("/var/lib/sluice"), Path("/etc/sluice"), Path("/var/cache/sluice")
ENVIRONMENT = SETTINGS / "environment"
PLAIN_PATH = re.compile(r"[\w./+@:-]+", re.ASCII)
HEAD = (
    "# Written by `sluice service install`. Changes belong into a drop-in: systemctl edit sluice. sha256 of the rest: "
)

UNIT = """\
[Unit]
Description=Sluice, a metered gate in front of a model
Wants=network-online.target
After=network-online.target
# Never given up: a disk or a network that was away comes back.
StartLimitIntervalSec=0

[Service]
Type=notify
User={user}
ExecStart={program} up
# sluice.toml is read from here, if it is there.
WorkingDirectory={settings}
EnvironmentFile=-{environment}
Environment=SLUICE_DATA_DIR={data} XDG_CACHE_HOME={cache_home}
StateDirectory={user}
StateDirectoryMode=0700
ConfigurationDirectory={user}
# `sluice up` has a deadline for its start (SLUICE_START_SECONDS); a migration before it takes what it takes.
TimeoutStartSec=infinity
Restart=always
RestartSec=10
# It stops its processes in order, within 60 seconds. Whatever then remains is killed.
KillMode=mixed
TimeoutStopSec=90

# Limits
LimitNOFILE=16384
LimitCORE=0
TasksMax=4096
MemoryMax=90%
# A process that the kernel ends is started again by its supervisor; the others go on.
OOMPolicy=continue

# What it may not do
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
KeyringMode=private
RemoveIPC=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
# The store has a network namespace of its own.
RestrictNamespaces=user net
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# The supervisor sets the owner of its socket, to its own user.
SystemCallFilter=@chown

[Install]
WantedBy=multi-user.target
"""

ENVIRONMENT_TEXT = """\
# The environment of the service sluice: NAME=value, one a line. Sluice's docs/local.md lists every name.
# In force after: systemctl restart sluice
#PORT=8080
#SLUICE_BASE_URL=https://sluice.example.org
#SLUICE_MAIL=smtp://user:password@mail.example.org:587
"""


def text(program: Path) -> str:
    """Errors: ValueError for a path that systemd would read otherwise."""
    if not PLAIN_PATH.fullmatch(str(program)):
        raise ValueError(f"{program} has characters that a unit cannot have in a path.")
    rest = UNIT.format(
        user=USER, program=program, settings=SETTINGS, environment=ENVIRONMENT, data=DATA, cache_home=CACHE.parent
    )
    return f"{HEAD}{_digest(rest)}\n{rest}"


def is_ours(found: str) -> bool:
    """Whether a unit is as some version of `text` wrote it."""
    head, _, rest = found.partition("\n")
    return head == HEAD + _digest(rest)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
