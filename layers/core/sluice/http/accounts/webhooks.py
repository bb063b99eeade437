"""Requests and answers of `/webhooks…`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, StrictStr, WithJsonSchema

from sluice.domain import webhooks as rules
from sluice.domain.periods import rfc3339
from sluice.domain.webhooks import Delivery, Webhook
from sluice.http.lazy_model import BaseModel
from sluice.wiring.settings import webhooks_may_be_private

Url = Annotated[
    StrictStr,
    AfterValidator(lambda text: rules.parse_url(text, allow_private=webhooks_may_be_private())),
    WithJsonSchema({"type": "string", "format": "uri", "maxLength": 2000, "examples": ["https://ada.example/hook"]}),
]
Events = Annotated[
    list[StrictStr],
    Field(fail_fast=True),
    AfterValidator(lambda given: list(rules.parse_events(given))),
    WithJsonSchema({"type": "array", "items": {"enum": list(rules.EVENTS)}, "minItems": 1}),
]


class CreateWebhookBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    url: Url = Field(description="on the public internet, by https; port 443, or one from 1024 on")
    events: Events = Field(description="what it is told of")


class ChangeWebhookBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    events: Events | None = None
    enabled: StrictBool | None = Field(None, description="`true`: what waits is delivered at once")


class RotateSecretBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    grace_seconds: Annotated[int, Field(strict=True, ge=0, le=rules.MOST_GRACE_SECONDS)] = Field(
        rules.MOST_GRACE_SECONDS, description="how long the old secret signs beside the new one"
    )


class WebhookInfo(BaseModel):
    id: str
    url: str
    events: list[str]
    enabled: bool
    disabled_because: Literal["owner", "gone", "failing"] | None = Field(
        description="`gone`: it answered 410; `failing`: it took nothing for 24 hours"
    )
    created_at: str

    @classmethod
    def fields_of(cls, one: Webhook) -> dict[str, Any]:
        created, why = rfc3339(one.created_ms), one.why or None
        return {
            "id": one.webhook_id,
            "url": one.url,
            "events": list(one.events),
            "enabled": one.is_enabled,
            "disabled_because": why,
            "created_at": created,
        }

    @classmethod
    def of(cls, one: Webhook) -> "WebhookInfo":
        return cls(**cls.fields_of(one))


class CreatedWebhook(WebhookInfo):
    secret: str = Field(description="`whsec_…`, shown this once: receivers check signatures with it")

    @classmethod
    def with_secret(cls, one: Webhook, secret: str) -> "CreatedWebhook":
        return cls(**cls.fields_of(one), secret=secret)


class NewSecret(BaseModel):
    secret: str = Field(description="shown this once")


class WebhookList(BaseModel):
    data: list[WebhookInfo]


class TestSent(BaseModel):
    event_id: str
    status: Literal["waiting"] = "waiting"


class DeliveryInfo(BaseModel):
    event_id: str
    type: str
    data: dict[str, Any]
    status: Literal["waiting", "delivered", "failed"]
    attempts: int
    created_at: str = Field(description="when it happened")
    last_attempt_at: str | None
    next_attempt_at: str | None
    response_status: int | None = Field(description="of the last attempt; null if there was no answer")
    problem: str = Field(description="of the last attempt")

    @classmethod
    def of(cls, one: Delivery) -> "DeliveryInfo":
        return cls(
            event_id=one.event.event_id,
            type=one.event.type,
            data=dict(one.event.data),
            status=one.state,
            attempts=one.attempts,
            created_at=rfc3339(one.event.created_ms),
            last_attempt_at=None if one.last_ms is None else rfc3339(one.last_ms),
            next_attempt_at=rfc3339(one.next_ms) if one.state == "waiting" else None,
            response_status=one.status,
            problem=one.problem,
        )


class DeliveryList(BaseModel):
    data: list[DeliveryInfo] = Field(description=f"the newest {rules.SHOWN_DELIVERIES} of three days, newest first")
