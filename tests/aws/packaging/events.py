"""A realistic event for each function, and the expected answer with an empty store."""

import json
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).parents[2] / "events"
HOST = "abc123.execute-api.eu-west-1.amazonaws.com"
PASSWORD = "correct horse battery staple"
# HTTP function → a call and its expected status. Other functions are called by their first route.
CALLS: dict[str, tuple[str, str, Any, int]] = {
    "RegistrationFunction": ("POST", "/auth/register", {"email": "ada@example.org", "password": PASSWORD}, 202),
    "VerificationFunction": ("POST", "/auth/verify-email", {"token": "mail_x.abc"}, 400),
    "AccountsFunction": ("POST", "/auth/login", {"email": "ada@example.org", "password": PASSWORD}, 401),
    "TokensFunction": ("GET", "/.well-known/jwks.json", None, 200),
    "GatewayFunction": ("GET", "/healthz", None, 503),  # no model runs here
    "WebFunction": ("GET", "/", None, 200),
}


def http_event(method: str, path: str, body: Any = None) -> dict[str, Any]:
    """A REST API's Lambda proxy event."""
    headers = {"Host": HOST, "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443", "Accept": "*/*"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc123",
            "domainName": HOST,
            "httpMethod": method,
            "identity": {"sourceIp": "192.0.2.77", "userAgent": "curl/8"},
            "path": "/live" + path,
            "protocol": "HTTP/1.1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "resourcePath": path,
            "stage": "live",
        },
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def stream_event(table: str, keys: dict[str, str], kind: str = "INSERT") -> dict[str, Any]:
    """One record of a KEYS_ONLY stream."""
    arn = f"arn:aws:dynamodb:eu-west-1:123456789012:table/sluice-{table}/stream/2026-11-20T12:00:00.000"
    record = {
        "eventID": "c4ca4238a0b923820dcc509a6f75849b",
        "eventName": kind,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1795000000.0,
            "Keys": {name: {"S": value} for name, value in keys.items()},
            "SequenceNumber": "111000000000000000000001",
            "SizeBytes": 26,
            "StreamViewType": "KEYS_ONLY",
        },
        "eventSourceARN": arn,
    }
    return {"Records": [record]}


def schedule_event() -> dict[str, Any]:
    return {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-11-20T12:00:00Z",
        "region": "eu-west-1",
        "resources": ["arn:aws:events:eu-west-1:123456789012:rule/sluice-SweeperFunctionEveryMinute"],
        "detail": {},
    }


def bounce_event() -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / "sns.json").read_text())
    event["Records"][0]["Sns"]["Message"] = (EVENTS / "ses_bounce.json").read_text()
    return event


def bucket_event(key: str) -> dict[str, Any]:
    """S3's notification in a message of the queue."""
    put = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-1",
        "eventTime": "2026-11-20T12:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "sluice-documents", "arn": "arn:aws:s3:::sluice-documents"},
            "object": {
                "key": key,
                "size": 12,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "sequencer": "0055AED6DCD90281E5",
            },
        },
    }
    message = {
        "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": json.dumps({"Records": [put]}),
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:sluice-documents",
        "awsRegion": "eu-west-1",
    }
    return {"Records": [message]}


def url_event(path: str, body: Any) -> dict[str, Any]:
    """An event of a function URL: payload version 2.0."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "abc.lambda-url.eu-west-1.on.aws", "content-type": "application/json"},
        "requestContext": {
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "x"},
            "requestId": "id",
            "stage": "$default",
        },
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


NOTHING_FAILED: dict[str, Any] = {"batchItemFailures": []}
# Event function → its event, and what the answer holds.
EVENTS_AND_ANSWERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "MailerFunction": (stream_event("mails", {"mail_id": "mail_gone"}), NOTHING_FAILED),
    "MeteringFunction": (
        stream_event("ledger", {"account_id": "usr_gone", "request_id": "req_gone"}, "MODIFY"),
        NOTHING_FAILED,
    ),
    "SweeperFunction": (schedule_event(), {"settled": 0, "failed": 0, "erased": 0}),
    "IngestionFunction": (bucket_event("files/usr_gone/file_gone"), NOTHING_FAILED),
    "SearchFunction": (
        url_event("/search", {"account_id": "usr_1", "store_ids": [], "query": "x", "top_k": 1}),
        {"statusCode": 200},
    ),
    "BouncesFunction": (bounce_event(), {"noted": 0, "ignored": 1}),
}
