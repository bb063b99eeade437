"""When API tokens were last used: one attribute of the rows that `adapters/tokens.py` owns."""

from sluice.adapters.aws import dynamo

# The row is there: a deleted API token stays deleted. And no later use is noted: events come in any order.
IS_LATER = "attribute_exists(token_id) AND (attribute_not_exists(last_used_ms) OR last_used_ms < :used)"


class DynamoTokenUses:
    """`sluice.ports.TokenUses`."""

    def __init__(self, table_prefix: str) -> None:
        self._table = table_prefix + "tokens"

    def used(self, account_id: str, token_id: str, used_ms: int) -> None:
        try:
            dynamo.write(
                lambda: dynamo.client().update_item(
                    TableName=self._table,
                    Key=dynamo.item({"account_id": account_id, "token_id": token_id}),
                    UpdateExpression="SET last_used_ms = :used",
                    ConditionExpression=IS_LATER,
                    ExpressionAttributeValues=dynamo.item({":used": used_ms}),
                )
            )
        except dynamo.ConditionFailed:
            return
