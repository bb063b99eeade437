"""Failed events are counted in the file or in the queues that hold them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.session import get_session
from moto import mock_aws

from sluice.adapters.aws import dead_letters
from sluice.adapters.aws.dead_letters import DeadLetterFile, DeadLetterQueues
from sluice.domain.errors import StoreUnavailable


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        dead_letters._client.cache_clear()
        yield
    dead_letters._client.cache_clear()


def test_each_line_of_the_file_counts_as_one_event(tmp_path: Path) -> None:
    letters = DeadLetterFile(tmp_path)
    assert letters.waiting() == {"dead-letters.jsonl": 0}
    (tmp_path / "relay").mkdir()
    (tmp_path / "relay" / "dead-letters.jsonl").write_text("{}\n{}\n")
    assert letters.waiting() == {"dead-letters.jsonl": 2}


def test_the_counted_file_is_the_one_that_the_relay_writes(tmp_path: Path) -> None:
    from infra.local.delivery import DeadLetters

    (tmp_path / "relay").mkdir()
    DeadLetters(tmp_path / dead_letters.FILE).put("mails", {"eventID": "1", "dynamodb": {"NewImage": "secret"}}, "why")
    assert "secret" not in (tmp_path / dead_letters.FILE).read_text()
    assert DeadLetterFile(tmp_path).waiting() == {"dead-letters.jsonl": 1}


def test_the_messages_of_each_queue_are_counted_under_its_name(aws: None) -> None:
    sqs = get_session().create_client("sqs")
    urls = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("mailer-failures", "metering-failures")]
    sqs.send_message(QueueUrl=urls[0], MessageBody="{}")
    assert DeadLetterQueues(urls).waiting() == {"mailer-failures": 1, "metering-failures": 0}


def test_a_missing_queue_is_an_error_and_not_a_count_of_zero(aws: None) -> None:
    with pytest.raises(StoreUnavailable):
        DeadLetterQueues(["https://sqs.us-east-1.amazonaws.com/123456789012/none"]).waiting()
