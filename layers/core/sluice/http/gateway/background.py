"""Background responses: submitted as a run, read while it is made, cancelled (ADR 120)."""

import json
from dataclasses import replace
from typing import Any, NamedTuple

import pydantic_core
from flask import Response, g

from sluice.domain.errors import InvalidModelRequest, StoreUnavailable
from sluice.domain.gateway.response_items import Message
from sluice.domain.gateway.responses import Assembly
from sluice.domain.runs import LIVE, Run, as_it_stands, run_of
from sluice.domain.tokens import Claims
from sluice.http.gateway.bearer import authenticate
from sluice.http.gateway.complete import naming_ignored
from sluice.http.gateway.follow import followed, replayed
from sluice.http.gateway.responses_requests import ResponseBody, RetrieveQuery
from sluice.wiring.gateway import gateway, stored_responses
from sluice.wiring.runs import runs


class Submission(NamedTuple):
    """`ask`: what its worker needs beside the stored response: the claims, and the body without its input."""

    claims: Claims
    body: ResponseBody
    history: list[Message]
    ask: dict[str, Any]


def prepared(claims: Claims, body: ResponseBody, history: list[Message]) -> Submission:
    """Errors: InvalidModelRequest (not to be stored, or too long for it)."""
    if not body.stored:
        raise InvalidModelRequest("A background response has to be stored. Leave store out.", "store")
    fields = json.loads(body.model_dump_json(by_alias=True, exclude_unset=True, exclude={"input"}))
    ask = {"claims": told_claims(claims), "body": fields}
    stored_responses().check_size(body.echoed(), history, ask)
    return Submission(claims, body, history, ask)


def told_claims(claims: Claims) -> dict[str, Any]:
    """As JSON takes them."""
    models = None if claims.models is None else list(claims.models)
    return {**vars(claims), "scopes": sorted(claims.scopes), "models": models}


def claims_of(told: dict[str, Any]) -> Claims:
    models = None if told["models"] is None else tuple(told["models"])
    return Claims(**{**told, "scopes": frozenset(told["scopes"]), "models": models})


def submitted(submission: Submission) -> Response:
    """The queued response, or the stream of its events. It counts as a request a minute. Errors: as
    `Gateway.charge_request` and `Runs.submit`."""
    claims, body, history, ask = submission
    gateway().charge_request(claims)
    account_id, stored, now_ms = claims.account_id, stored_responses(), gateway().now_ms()
    grant = gateway().admission.seen(account_id)
    keeps = grant is None or grant.store_content
    run = Run(account_id, g.server_request_id, stored.new_place(account_id), keeps_events=keeps)
    response = {**Assembly(run.response_id, run.created_ms // 1000, body.echoed()).response, "status": run.status}
    if not stored.put(account_id, response, history, now_ms, run=ask, keeps=keeps):
        raise StoreUnavailable()
    try:
        runs().submit(run)
    except BaseException:
        stored.delete(account_id, run.response_id, now_ms)
        raise
    if body.stream:
        g.follows = run.response_id  # for a repetition of the request, which follows it again
    answer = followed(claims, run, response, submitting=True) if body.stream else _json(response)
    return naming_ignored(answer, body.ignored)


def _json(response: dict[str, Any]) -> Response:
    return Response(pydantic_core.to_json(response), 200, mimetype="application/json")


def _run(account_id: str, response_id: str) -> Run | None:
    run_id = run_of(response_id)
    run = runs().rows.get(account_id, run_id) if run_id else None
    return run if run and not run.ask else None


def retrieved(claims: Claims, response_id: str, query: RetrieveQuery) -> Response:
    """A response, or its events from after `starting_after` on. Errors: NotFound, StoreUnavailable."""
    account_id, now_ms = claims.account_id, gateway().now_ms()
    run = _run(account_id, response_id)
    stored = stored_responses().get(account_id, response_id, now_ms)
    response = as_it_stands(stored.response, run, now_ms)
    after = -1 if query.starting_after is None else query.starting_after
    if query.stream:
        return followed(claims, run, response, after) if run else replayed(replace(stored, response=response), after)
    if run is not None and not run.keeps_events and response["status"] not in LIVE:
        stored_responses().delete(account_id, response_id, now_ms)
    return _json(response)


def cancelled(response_id: str) -> dict[str, Any]:
    """Errors: NotFound, InvalidModelRequest (of no background response), StoreUnavailable."""
    claims = authenticate("inference")
    gateway().check_caller(claims)
    account_id, now_ms = claims.account_id, gateway().now_ms()
    before = stored_responses().get(account_id, response_id, now_ms)
    if run_of(response_id) is None:
        raise InvalidModelRequest("Only background responses can be cancelled.", "response_id")
    if before.run is None:  # it has ended, although its worker may still be settling it
        over = _run(account_id, response_id)
        return as_it_stands(before.response, None if over is None or over.is_live else over, now_ms)
    run = stop(account_id, response_id)
    stored = stored_responses().get(account_id, response_id, now_ms)  # again: it may have ended meanwhile
    response = as_it_stands(stored.response, run, now_ms)
    if run is not None and response["status"] != stored.response["status"]:
        keeps = run.keeps_events
        stored_responses().put(account_id, response, stored.messages, now_ms, again=True, live=True, keeps=keeps)
    return response


def stop(account_id: str, response_id: str) -> Run | None:
    """End the run that makes the response, if any is live. → as it is now."""
    run = _run(account_id, response_id)
    if run is not None and run.is_live:
        runs().rows.end(run, "failed" if run.is_lost(gateway().now_ms()) else "cancelled")
        run = _run(account_id, response_id)
    return run
