"""The routes that take wines: what each answers."""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Final
from urllib.parse import parse_qsl

from msgspec import Raw

from wine_serving import tables
from wine_serving.api import body
from wine_serving.api.answers import BatchPrediction, Explanation, Summary, TablePrediction
from wine_serving.api.call import Call
from wine_serving.api.loading import Loader, Model
from wine_serving.api.log import PredictionLog, encode
from wine_serving.api.middleware import Answer, Take
from wine_serving.assessing import Assessment
from wine_serving.schema import SEGMENT, Asked

XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
TABLE_KINDS: Final = (b"text/csv", XLSX.encode())
ADDED: Final = ("score", "low", "high", "grade", "at_least_7", "warnings", "prediction_id", "problem")


class Wines:
    """Assesses, explains and logs the wines in bodies."""

    def __init__(self, loader: Loader, log: PredictionLog | None) -> None:
        self._loader, self._log = loader, log

    def takes(self) -> dict[str, Take]:
        """How each path takes its bodies."""
        return {
            "/predict": Take(self.predict, body.WINE_BYTES, at_once=True),
            "/predict/batch": Take(self.predict_batch, body.BATCH_BYTES),
            "/predict/table": Take(self.predict_table, tables.MAX_BYTES, kinds=TABLE_KINDS),
            "/explain": Take(self.explain, body.WINE_BYTES),
        }

    def predict(self, call: Call, given: bytes) -> Answer:
        """A Prediction."""
        wine, model = body.one(given), self._loader.model
        assessments = self._told(call, model, [wine], [model.assessor.one(wine)], (0,))
        ids = model.version.encode(), call.id.encode()
        return Answer(b'%b,"model_version":"%b","request_id":"%b"}' % (encode(*assessments)[:-1], *ids))

    def predict_batch(self, call: Call, given: bytes) -> Answer:
        """A BatchPrediction."""
        wines, model = body.many(given), self._loader.model
        assessments = self._told(call, model, wines, model.assessor.each(wines), count())
        return Answer(encode(BatchPrediction(assessments, model.version, call.id)))

    def predict_table(self, call: Call, given: bytes) -> Answer:
        """A TablePrediction, or the table itself with the answers behind its columns."""
        table, model = _table(call, given), self._loader.model
        wines = [*table.wines.values()]
        assessments = self._told(call, model, wines, model.assessor.each(wines) if wines else [], table.wines)
        if b"text/csv" in call.headers.get(b"accept", b""):
            return _as_csv(table, assessments)
        rows = [
            b'{"row":%d,"%b":%b,%b' % (number, SEGMENT.encode(), encode(getattr(wine, SEGMENT)), encode(said)[1:])
            for (number, wine), said in zip(table.wines.items(), assessments, strict=True)
        ]
        refused = [fault._asdict() for fault in table.faults[: tables.TOLD_FAULTS]]
        summary = Summary(len(table.rows), len(wines), len(table.rows) - len(wines), len(table.faults))
        return Answer(encode(TablePrediction([*map(Raw, rows)], refused, summary, model.version, call.id)))

    def explain(self, call: Call, given: bytes) -> Answer:
        """An Explanation."""
        wine, model = body.one(given), self._loader.model
        score = model.bundle.score(wine)
        typical, contributions = model.explainer.typical, model.explainer.explain(wine, score)
        return Answer(encode(Explanation(score, typical, contributions, model.version, call.id)))

    def _told(
        self, call: Call, model: Model, wines: Sequence[Asked], assessments: list[Assessment], rows: Iterable[int]
    ) -> list[Assessment]:
        """The assessments with their ids: to be counted, and logged as they are answered."""
        line = call.line(model.version)
        for row, wine, assessment in zip(rows, wines, assessments):  # noqa: B905 - rows may be endless
            assessment.prediction_id = f"{call.id}-{row}"
            if wine.reference is not None:
                assessment.reference = wine.reference
        call.assessed = model.version, assessments
        if self._log and wines:
            self._log.add(line, wines, assessments)
        return assessments


def _table(call: Call, given: bytes) -> tables.Table:
    """The table in a body, read as the query says."""
    said = dict(parse_qsl(call.query.decode("latin-1"), keep_blank_values=True))
    columns = {name.removeprefix("column."): said[name] for name in said if name.startswith("column.")}
    return tables.read(given, said=columns, segment=said.get(SEGMENT))


def _as_csv(table: tables.Table, assessments: Sequence[Assessment]) -> Answer:
    faults: dict[int, list[str]] = {}
    for fault in table.faults:
        faults.setdefault(fault.row, []).append(fault.message)
    cells: dict[int, Sequence[object]] = {row: ("",) * 7 + ("; ".join(faults.get(row, [])),) for row in table.rows}
    for row, said in zip(table.wines, assessments, strict=True):
        warnings = "; ".join(warning.message for warning in said.warnings)
        low, high = said.interval.low, said.interval.high
        cells[row] = said.quality, low, high, said.grade.value, said.at_least_7, warnings, said.prediction_id, ""
    content, encoding = tables.written(table, ADDED, cells)
    return Answer(content, b"text/csv; charset=" + encoding.removesuffix("-sig").encode())
