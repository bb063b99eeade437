"""The store's own measure of what unrelated passages have in common, made anew with each change (docs/adr/0115)."""

import apsw

from sluice.adapters.documents.search.database import rows
from sluice.domain.documents.nearness import SAMPLE, unrelated_cosine
from sluice.domain.documents.vectors import unpacked

NEXT_ONE = """
SELECT chunks.file_id, vector FROM chunks JOIN files USING (file_id)
WHERE chunks.id >= ? AND model = ? AND vector IS NOT NULL ORDER BY chunks.id LIMIT 1
"""


def calibrate(connection: apsw.Connection, model: str) -> None:
    """From some passages with vectors of this model. Inside the transaction of the change."""
    ((first, last),) = rows(connection, "SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM chunks")
    places = sorted({first + (last - first) * number // (SAMPLE - 1) for number in range(SAMPLE)})
    found = {row for place in places for row in rows(connection, NEXT_ONE, (place, model))}
    measured = unrelated_cosine([(file_id, unpacked(vector)) for file_id, vector in sorted(found)])
    connection.execute("DELETE FROM calibration")
    if measured is not None:
        connection.execute("INSERT INTO calibration VALUES (?, ?)", (model, measured))


def measured_unrelated(connection: apsw.Connection, model: str) -> float | None:
    found = rows(connection, "SELECT unrelated FROM calibration WHERE model = ?", (model,))
    return float(found[0][0]) if found else None
