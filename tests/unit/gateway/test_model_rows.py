"""A foreign server's list of models: what is odd in it hides nothing else."""

from typing import Any

import pytest

from sluice.domain.gateway.model_rows import model_rows


@pytest.mark.parametrize("odd", [{"id": ""}, {"id": "x" * 257}, {"id": 7}, {}, None, "demo", 7], ids=str)
def test_an_odd_row_hides_no_other(odd: Any) -> None:
    assert [row["id"] for row in model_rows([{"id": "a"}, odd, {"id": "b"}])] == ["a", "b"]
    with pytest.raises(ValueError, match="no models"):
        model_rows([odd])
    assert model_rows([]) == []
