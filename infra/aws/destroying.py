"""`make destroy`: deletes the stack, and the data only if the stack's name is repeated."""

from collections.abc import Callable
from typing import Any

from infra.aws.stack import data_stack
from sluice.adapters.aws.models import TABLES

Say = Callable[[str], None]
PARAMETERS = ("signing-key", "signing-key-next", "mailed-code-key", "jwks", "smtp-url")


def what_stays(stack: str, prefix: str, path: str) -> list[str]:
    return [
        f"The stack {stack} will be deleted: functions, API, alarms, logs. These stay, and cost a little:",
        f"  the stack {data_stack(stack)}: {len(TABLES)} tables {prefix}…, protected against deletion,",
        "    the bucket of the documents, and the mail identity",
        f"  the keys below {path} in the Parameter Store, free of charge",
        "  the bucket of SAM with the packages, and the repository with the model's image",
        "`make deploy` builds on them again.",
        f"To delete the data too: sluice destroy --delete-data {stack}",
    ]


def documents_bucket(client: Callable[[str], Any], stack: str) -> str:
    """The bucket's name, or "" if there is none. Call it before the data stack is deleted, which alone knows it."""
    cloudformation = client("cloudformation")
    try:
        answer = cloudformation.describe_stack_resource(
            StackName=data_stack(stack), LogicalResourceId="DocumentsBucket"
        )
    except cloudformation.exceptions.ClientError as exc:
        if "does not exist" in str(exc):
            return ""
        raise
    return str(answer["StackResourceDetail"]["PhysicalResourceId"])


def delete_data_stack(client: Callable[[str], Any], stack: str, say: Say) -> None:
    """Delete the data stack, which retains its tables and its bucket. Raises botocore's errors."""
    client("cloudformation").delete_stack(StackName=data_stack(stack))
    say(f"deleting the stack {data_stack(stack)}")


def delete_bucket(client: Callable[[str], Any], bucket: str, say: Say) -> None:
    """Delete the bucket with all its objects. Raises botocore's errors."""
    s3 = client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    for keys in ([{"Key": one["Key"]} for one in page.get("Contents", [])] for page in pages):
        if keys:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
    s3.delete_bucket(Bucket=bucket)
    say(f"deleted the bucket {bucket}")


def delete_data(client: Callable[[str], Any], prefix: str, path: str, say: Say) -> None:
    """Delete every table and key. Can be repeated. DynamoDB keeps a backup of tables with point-in-time recovery for
    35 days. Raises botocore's errors."""
    dynamodb = client("dynamodb")
    for table in TABLES:
        name = prefix + table.Meta.table_name
        try:
            dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
            dynamodb.delete_table(TableName=name)
        except dynamodb.exceptions.ResourceNotFoundException:
            continue
        except dynamodb.exceptions.ResourceInUseException:
            say(f"{name} is being changed by DynamoDB: run this command again in a minute")
            continue
        say(f"deleted {name}")
    names = [f"{path}/{name}" for name in PARAMETERS]
    gone = client("ssm").delete_parameters(Names=names)["DeletedParameters"]
    say(f"deleted {', '.join(sorted(gone))}" if gone else f"no keys below {path}")
