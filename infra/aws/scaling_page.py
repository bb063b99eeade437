"""`python -m infra.aws.scaling_page [--write]`: generates docs/scaling.md from `scaling.md.j2` and `scaling`."""

from pathlib import Path

from infra.aws import scaling
from infra.aws.cost import inputs
from infra.aws.cost.page import main, render
from sluice.domain.gateway.leases import LEASE_SHARDS

PAGE = inputs.TEMPLATE.parent / "docs" / "scaling.md"
STREAM_SECONDS = 4.0
RATE = 1_000


def page() -> str:
    return render(
        Path(__file__).with_name("scaling.md.j2"),
        scaling=scaling,
        shards=len(LEASE_SHARDS),
        gpu_hour_usd=inputs.price("server_gpu_hour"),
        STREAM_SECONDS=STREAM_SECONDS,
        RATE=RATE,
    )


if __name__ == "__main__":
    main(PAGE, page())
