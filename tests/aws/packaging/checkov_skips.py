"""What checkov asks for and is not done, each with its reason. A test fails for a finding that is not here, and for a
reason here that nothing needs any more."""

SKIPS = {
    # A limit of concurrency for every function would take its share from all others; the two that need one have it: the
    # model, for its cost, and the sweeper.
    "CKV_AWS_115": "function-level concurrent execution limit",
    # Functions behind the API answer their caller; event functions have on-failure destinations, which replace this
    # older setting (tests/unit/aws/test_template_events.py).
    "CKV_AWS_116": "dead letter queue of a function",
    # A VPC would need NAT gateways or endpoints, which cost more than everything else here, and nothing is only in one.
    "CKV_AWS_117": "inside a VPC",
    # DynamoDB's AWS managed key encrypts them; a key of one's own costs by the month and by the call.
    "CKV_AWS_119": "tables encrypted by a customer managed key",
    # An API whose answers are each caller's own is not cached.
    "CKV_AWS_120": "API caching",
    # CloudWatch encrypts every log group; no content and no secret is logged.
    "CKV_AWS_158": "log groups encrypted by a KMS key",
    # No secret is in an environment: keys and the mail server's password are SecureStrings.
    "CKV_AWS_173": "environment encrypted by a KMS key",
    # Every way to a document leads through a function behind the API, which logs it.
    "CKV_AWS_18": "access log of a bucket",
    # What its owner deletes is to be gone: versions would keep it.
    "CKV_AWS_21": "versions in a bucket",
    # SES and CloudWatch cannot publish to a topic under the AWS managed key.
    "CKV_AWS_26": "topics encrypted by a KMS key",
    # SQS encrypts them with its own key (SqsManagedSseEnabled); this check knows KMS keys only.
    "CKV_AWS_27": "queues encrypted by a KMS key",
}
