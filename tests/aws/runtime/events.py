"""Lambda's events: a realistic one for each source."""

import json
from collections.abc import Mapping
from typing import Any


def api_event(method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
    """The event of a regional REST API's Lambda proxy integration (input format of the developer guide)."""
    given = {"Host": "abc123.execute-api.us-east-1.amazonaws.com", "X-Forwarded-Proto": "https", **headers}
    given |= {"X-Forwarded-For": "192.0.2.77, 198.51.100.5", "X-Amzn-Trace-Id": "Root=1-5f-0"}
    given |= {"Content-Type": "application/json"} if body is not None else {}
    path, _, query = path.partition("?")
    pairs = dict(pair.split("=", 1) for pair in query.split("&") if pair)
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": given,
        "multiValueHeaders": {name: [value] for name, value in given.items()},
        "queryStringParameters": pairs or None,
        "multiValueQueryStringParameters": {name: [value] for name, value in pairs.items()} or None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourceId": "abc123",
            "resourcePath": path,
            "httpMethod": method,
            "extendedRequestId": "Xyz=",
            "requestTime": "21/Nov/2026:12:00:00 +0000",
            "path": "/live" + path,
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": "live",
            "requestTimeEpoch": 1_795_262_400_000,
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "identity": {"sourceIp": "192.0.2.77", "userAgent": "test"},
            "apiId": "abc123",
        },
        "body": None if body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def url_event(method: str, path: str, said: str) -> dict[str, Any]:
    """The event of a function URL: payload format 2.0."""
    headers = {"content-type": "application/json", "host": "abc.lambda-url.us-east-1.on.aws"}
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.77", "userAgent": "test"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {"http": http, "stage": "$default", "requestId": "id", "timeEpoch": 1_795_262_400_000},
        "body": said,
        "isBase64Encoded": False,
    }


def stream_event(table: str, *keys: Mapping[str, str], event_name: str = "INSERT") -> dict[str, Any]:
    """A batch of a KEYS_ONLY DynamoDB stream, sequence numbers rising from 1."""
    return {
        "Records": [
            {
                "eventID": f"{place:032x}",
                "eventName": event_name,
                "eventVersion": "1.1",
                "eventSource": "aws:dynamodb",
                "awsRegion": "us-east-1",
                "dynamodb": {
                    "ApproximateCreationDateTime": 1_795_262_400.0,
                    "Keys": {name: {"S": value} for name, value in key.items()},
                    "SequenceNumber": str(place),
                    "SizeBytes": 40,
                    "StreamViewType": "KEYS_ONLY",
                },
                "eventSourceARN": f"arn:aws:dynamodb:us-east-1:123456789012:table/{table}/stream/2026",
            }
            for place, key in enumerate(keys, 1)
        ]
    }


SCHEDULE_EVENT: dict[str, Any] = {
    "version": "0",
    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "123456789012",
    "time": "2026-11-21T12:00:00Z",
    "region": "us-east-1",
    "resources": ["arn:aws:events:us-east-1:123456789012:rule/every-minute"],
    "detail": {},
}
