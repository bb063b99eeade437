"""Until when publishable API tokens may exist: one item of the settings table, which every function may read."""

from contextlib import suppress

from sluice.adapters.aws import dynamo

KEY = "publishable"  # in the place of `site`, and as version 0
IS_LATER = "attribute_not_exists(until_s) OR until_s < :until_s"


class DynamoPublished:
    """`sluice.ports.tokens.PublishedTokens`."""

    def __init__(self, table_prefix: str) -> None:
        self._table = table_prefix + "settings"

    def announce(self, until_s: int) -> None:
        with suppress(dynamo.ConditionFailed):  # another token is valid longer
            dynamo.write(
                lambda: dynamo.client().update_item(
                    TableName=self._table,
                    Key=dynamo.item({"site": KEY, "version": 0}),
                    UpdateExpression="SET until_s = :until_s, ttl_s = :until_s",
                    ConditionExpression=IS_LATER,
                    ExpressionAttributeValues=dynamo.item({":until_s": until_s}),
                )
            )

    def until_s(self) -> int:
        with dynamo.store_errors():
            page = dynamo.client().query(
                TableName=self._table,
                KeyConditionExpression="site = :site",
                ExpressionAttributeValues=dynamo.item({":site": KEY}),
                ConsistentRead=True,
                Limit=1,
            )
        return max((int(dynamo.values(item)["until_s"]) for item in page["Items"]), default=0)
