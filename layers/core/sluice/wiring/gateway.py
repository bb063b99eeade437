"""The gateway's use cases, each bound to its stores once a process, by the function that uses it."""

from __future__ import annotations  # the ports are for the type checker: importing them is no small part of a start

import time
from functools import partial
from typing import TYPE_CHECKING

from sluice import settings
from sluice.once import once
from sluice.wiring import documents, peers, stores, upstreams
from sluice.wiring.settings import default_limits, newest_terms, terms

if TYPE_CHECKING:
    from sluice.ports.gateway import TextStore, Upstream
    from sluice.services.gateway.answer import Answers
    from sluice.services.gateway.exchange import Observer
    from sluice.services.gateway.gateway import Gateway
    from sluice.services.gateway.places import Places
    from sluice.services.gateway.queue import Queue
    from sluice.services.gateway.run import Runs
    from sluice.services.gateway.stored_completions import StoredCompletions
    from sluice.services.gateway.stored_responses import StoredResponses
    from sluice.services.gateway.sweep import Sweeper
    from sluice.services.gateway.visitors import Visitors


@once
def gateway() -> Gateway:
    from sluice.services.gateway.admit import Plans
    from sluice.services.gateway.gateway import Defaults, Gateway
    from sluice.services.gateway.observe import ObservedAdmission
    from sluice.wiring.mails import quota_mails

    wanted = settings.gateway()
    refused = partial(quota_mails().check, refused=True)
    measured = (stores.hot_store(), default_limits(wanted), peers.metrics(), refused, Plans(terms, newest_terms))
    admission: ObservedAdmission = ObservedAdmission(*measured)
    upstream: Upstream = upstreams.routed()
    if (tracing := peers.tracing()) is not None:
        from sluice.services.gateway.trace import TracedAdmission, TracedUpstream

        admission, upstream = TracedAdmission(tracing, *measured), TracedUpstream(tracing, upstream)
    return Gateway(
        store=stores.hot_store(),
        admission=admission,
        upstream=upstream,
        routes=upstreams.routes,
        observer=observer(),
        clock=time.time_ns,
        defaults=Defaults(
            wanted.default_max_tokens,
            wanted.request_deadline_seconds,
            wanted.content_days,
            wanted.whole_answer_seconds,
        ),
        terms=terms,
        spend=stores.spend(),
        queue=_queue(wanted.v1_waiting),
    )


def _queue(most: int) -> Queue | None:
    """None on Lambda, where a waiting request would hold an environment that is paid for."""
    from sluice.adapters.aws.access import on_lambda
    from sluice.services.gateway.observe import QueueMetrics
    from sluice.services.gateway.queue import Queue

    return Queue(most, QueueMetrics(peers.metrics())) if most and not on_lambda() else None


@once
def visitors() -> Visitors:
    from sluice.services.gateway.visitors import Visitors

    return Visitors(gateway(), stores.visits())


@once
def answers() -> Answers:
    from sluice.services.gateway.answer import Answers

    return Answers(gateway(), documents.retrieval)


@once
def runs() -> Runs:
    from sluice.services.gateway.run import Runs

    return Runs(gateway())


@once
def stored_responses() -> StoredResponses:
    from sluice.services.gateway.stored_responses import StoredResponses

    texts: TextStore = stores.hot_store()  # type: ignore[assignment]
    return StoredResponses(texts, settings.gateway().content_days)


@once
def stored_completions() -> StoredCompletions:
    from sluice.services.gateway.stored_completions import StoredCompletions

    texts: TextStore = stores.hot_store()  # type: ignore[assignment]
    return StoredCompletions(texts, settings.gateway().content_days)


@once
def v1_places() -> Places:
    from sluice.services.gateway.places import Places

    return Places(settings.gateway().v1_places)


@once
def repeat_places() -> Places:
    """Of requests that wait for the first one with their `Idempotency-Key`."""
    from sluice.services.gateway.places import Places

    return Places(settings.gateway().v1_waiting)


@once
def sweeper() -> Sweeper:
    from sluice.services.gateway.sweep import Sweeper
    from sluice.wiring import runs

    return Sweeper(stores.hot_store(), stores.lease_index(), peers.now_ms, runs.send_again)


@once
def observer() -> Observer:
    from sluice.services.gateway.observe import ExchangeMetrics

    if (tracing := peers.tracing()) is None:
        return ExchangeMetrics(peers.metrics())
    from sluice.services.gateway.trace import TracedExchanges

    return TracedExchanges(tracing, peers.metrics())
