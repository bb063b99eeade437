"""`python -m infra.aws.cost [--write]`: print docs/cost.md, or write it."""

from infra.aws.cost.inputs import FOLDER
from infra.aws.cost.page import main, page

PAGE = FOLDER.parents[2] / "docs" / "cost.md"

if __name__ == "__main__":
    main(PAGE, page())
