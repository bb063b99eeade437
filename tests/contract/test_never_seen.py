"""docs/claims.md, "Never seen": each claim has a check of `make prove-aws`, and each check a claim."""

from infra.aws.proving import CHECKS
from tests.contract import markdown


def test_each_claim_has_a_check_and_each_check_a_claim() -> None:
    rows = markdown.rows(markdown.section(markdown.read("docs/claims.md"), "Never seen"))
    assert [command for _, command in rows] == [f"`sluice prove --only {name}`" for name in CHECKS]
    assert all(claim for claim, _ in rows)
