"""Checkov's findings that are accepted, each with its reason. A test fails for a finding that is not here, and for a
reason that is no longer needed."""

SKIPS = {
    # Functions behind the API answer their caller; event functions have on-failure destinations, which replace this
    # older setting (tests/unit/aws/test_template_events.py).
    "CKV_AWS_116": "dead letter queue of a function",
    # A VPC would need NAT gateways or endpoints, which cost more than everything else here, and nothing is only in one.
    "CKV_AWS_117": "inside a VPC",
    # DynamoDB's AWS managed key encrypts them; a customer managed key costs money for each month and call.
    "CKV_AWS_119": "tables encrypted by a customer managed key",
    # The API's responses differ for each caller, so nothing is cached.
    "CKV_AWS_120": "API caching",
    # CloudWatch encrypts every log group; no content and no secret is logged.
    "CKV_AWS_158": "log groups encrypted by a KMS key",
    # No secret is in an environment: keys and the mail server's password are SecureStrings.
    "CKV_AWS_173": "environment encrypted by a KMS key",
    # Documents are reached only through functions behind the API, which logs every request.
    "CKV_AWS_18": "access log of a bucket",
    # Versions would keep documents that their owner deleted.
    "CKV_AWS_21": "versions in a bucket",
    # SES and CloudWatch cannot publish to a topic under the AWS managed key.
    "CKV_AWS_26": "topics encrypted by a KMS key",
    # SQS encrypts them with its own key (SqsManagedSseEnabled); this check knows KMS keys only.
    "CKV_AWS_27": "queues encrypted by a KMS key",
}
