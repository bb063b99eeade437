"""`python -m infra.aws.sam_local [FUNCTION]`: the API under `sam local start-api`, or one function with its event.

It runs beside LocalStack (docs/local.md). `sam local` passes only variables that the template declares, so a copy of
the built template declares the store's address as well. The values are in `env.json`, which a test holds to it.
"""

import os
import re
import sys
from pathlib import Path

from infra.aws.building import BUILD, ROOT
from infra.aws.localstack import NETWORK, Missing, require

ENV = Path(__file__).with_name("env.json")
EVENTS = ROOT / "tests" / "events"
LOCAL = "template.local.yaml"
GLOBAL_VARIABLES = re.compile(r"(?m)^(Globals:\n(?:[ ].*\n)*?[ ]+Variables:\n)(?P<indent>[ ]+)")
DECLARED = ("AWS_ENDPOINT_URL",)


def with_endpoint(built: str) -> str:
    """Raises ValueError when the template has no global variables."""
    found = GLOBAL_VARIABLES.search(built)
    if found is None:
        raise ValueError("the built template has no Globals with Variables")
    lines = "".join(f"{found['indent']}{name}: unset\n" for name in DECLARED)
    return built[: found.end(1)] + lines + built[found.end(1) :]


def command(function: str = "") -> list[str]:
    """The words of `sam local`. Raises Missing when there is no event for this function."""
    event = EVENTS / f"{function}.json"
    if function and not event.is_file():
        known = ", ".join(sorted(path.stem for path in EVENTS.glob("*Function.json")))
        raise Missing(f"tests/events has no event for {function}, only for {known}.")
    words = ["sam", "local", *(["invoke", function, "--event", str(event)] if function else ["start-api"])]
    words += ["--template", str(BUILD / LOCAL), "--env-vars", str(ENV), "--docker-network", NETWORK]
    return [*words, "--parameter-overrides", "Architecture=x86_64"]


def main(words: list[str]) -> None:
    try:
        require()
        source = BUILD / "template.yaml"
        if not source.is_file():
            raise Missing(f"{source} is missing: run `make localstack-up` first, which builds it.")
        asked = command(*words[:1])
    except Missing as exc:
        sys.exit(f"sluice: {exc}")
    (BUILD / LOCAL).write_text(with_endpoint(source.read_text()))
    os.execvp(asked[0], asked)


if __name__ == "__main__":
    main(sys.argv[1:])
