"""`python -m infra.aws.cost [--write | NAME=VALUE …]`: print docs/cost.md, write it, or print a worst month."""

import sys

from infra.aws.cost.inputs import FOLDER
from infra.aws.cost.page import main, page, told

PAGE = FOLDER.parents[2] / "docs" / "cost.md"

if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    if given:
        try:
            sys.stdout.write(told(given))
        except ValueError as exc:
            sys.exit(str(exc))
    else:
        main(PAGE, page())
