"""`python -m infra.aws.events_page [--write]`: generates docs/events.md from `events.md.j2` and the templates."""

from pathlib import Path

from infra.aws import events
from infra.aws.cost import inputs
from infra.aws.cost.page import main, render
from sluice.domain.events import EVENTS, SOURCE, DomainEvent

PAGE = inputs.TEMPLATE.parent / "docs" / "events.md"


def page() -> str:
    """Errors: ValueError (an event source or a dead-letter queue of a form that the page does not show)."""
    sources = events.sources()
    http = {name: routes for name in events.functions() if (routes := events.routes(name))}
    every = [name for name, one in events.resources().items() if one["Type"] == "AWS::CloudWatch::Alarm"]
    queues = {one.queue: [name for name in every if one.queue in events.watched(name)] for one in sources}
    (kept,) = {events.resources()[queue]["Properties"]["MessageRetentionPeriod"] for queue in queues}
    return render(
        Path(__file__).with_name("events.md.j2"),
        total=sum(map(len, http.values())),
        http=http,
        urls=events.callers_by_url(),
        sources=sources,
        nobody_waits=sorted({one.function for one in sources}),
        tables=sorted({one.origin for one in sources if one.kind == "stream"}),
        queues=queues,
        writers=sorted(set(events.writers())),
        told_by_bucket=events.told_by_bucket(),
        told_by_mail_service=events.told_by_mail_service(),
        title=events.title,
        kept=events.duration(kept),
        source=SOURCE,
        domain_events=EVENTS,
        common=DomainEvent.model_fields,
    )


if __name__ == "__main__":
    main(PAGE, page())
