"""Who pays, in the grant: the map `py` beside the plan, so that one update decides both (ADR 129).

`c` the customer, `v` the version, `p` the plan that is paid for, `u` a change that the audit log does not have yet.
"""

from typing import Any

from sluice.adapters.aws import dynamo
from sluice.domain.errors import Conflict
from sluice.domain.payments import Payer, Untold

# No other window made a customer, and the account is neither suspended nor being deleted.
IS_FIRST = "standing = :good AND attribute_not_exists(py)"
IS_ANOTHER = "standing = :good AND py.v = :version"
VERSION_IS_NEWEST = "py.v = :version"
PLAN_IS_AS_READ = "#plan = :before"  # no admin has chosen another meanwhile
PLAN_IS_DEFAULT = "attribute_not_exists(#plan)"
# As `Grants.set_plan`: version 0 makes the next admission write the plan's limits.
ANOTHER_PLAN = ", own = :none, pv = :zero"


class DynamoPayers:
    """`sluice.ports.payments.PayerStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._table = table_prefix + "grants"

    def payer(self, account_id: str) -> Payer | None:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(
                TableName=self._table, Key=dynamo.item({"account_id": account_id}), ConsistentRead=True
            )
        if not (grant := dynamo.values(answer.get("Item", {}))):
            return None
        plan, paying = grant.get("plan", ""), grant.get("py")
        if paying is None:
            return Payer(account_id, plan=plan)
        untold = paying.get("u")
        change = Untold(untold["i"], untold["t"], untold["b"], untold["a"]) if untold else None
        return Payer(account_id, paying["c"], paying["v"], paying["p"], plan, change)

    def begin(self, payer: Payer, customer: str) -> None:
        values: dict[str, Any] = {":good": "good", ":py": _map(customer, payer.version + 1, payer.paid, payer.untold)}
        if payer.customer:
            values[":version"] = payer.version
        self._update(payer.account_id, "SET py = :py", IS_ANOTHER if payer.customer else IS_FIRST, {}, values)

    def write(self, payer: Payer, paid: str, plan: str, untold: Untold | None) -> None:
        condition = f"{VERSION_IS_NEWEST} AND {PLAN_IS_AS_READ if payer.plan else PLAN_IS_DEFAULT}"
        values: dict[str, Any] = {":version": payer.version}
        values[":py"] = _map(payer.customer, payer.version + 1, paid, untold)
        if payer.plan:
            values[":before"] = payer.plan
        change = "SET py = :py"
        if plan != payer.plan:
            values |= {":none": {}, ":zero": 0} | ({":plan": plan} if plan else {})
            change += ANOTHER_PLAN + (", #plan = :plan" if plan else " REMOVE #plan")
        self._update(payer.account_id, change, condition, {"#plan": "plan"}, values)

    def forget(self, account_id: str) -> None:
        self._update(account_id, "REMOVE py", "attribute_exists(account_id)", {}, {})

    def _update(
        self, account_id: str, change: str, condition: str, names: dict[str, str], values: dict[str, Any]
    ) -> None:
        arguments: dict[str, Any] = {"ExpressionAttributeNames": names} if names else {}
        if values:
            arguments["ExpressionAttributeValues"] = dynamo.item(values)
        try:
            dynamo.write(
                lambda: dynamo.client().update_item(
                    TableName=self._table,
                    Key=dynamo.item({"account_id": account_id}),
                    UpdateExpression=change,
                    ConditionExpression=condition,
                    **arguments,
                )
            )
        except dynamo.ConditionFailed as exc:
            raise Conflict() from exc


def _map(customer: str, version: int, paid: str, untold: Untold | None) -> dict[str, Any]:
    told = {"u": {"i": untold.event_id, "t": untold.at_ms, "b": untold.before, "a": untold.after}} if untold else {}
    return {"c": customer, "v": version, "p": paid, **told}
