"""`python -m infra.aws.cost [--write]`: print docs/cost.md, or write it."""

import sys

from infra.aws.cost.inputs import FOLDER
from infra.aws.cost.page import page

PAGE = FOLDER.parents[2] / "docs" / "cost.md"

if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page())
    else:
        sys.stdout.write(page())
