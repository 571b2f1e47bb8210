"""The API as the page sees it: typed answers, a time-out on every call, and failures as sentences for visitors.

ApiError
├── Unreachable   nobody answers at the address, or not in time
├── NotReady      the service runs but has no model to answer with
├── WrongKey      the service wants another key
└── Refused       the wines break a rule; `problems` says which
"""

import io
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypedDict

import httpx

from wine_ui import stream
from wine_ui.settings import Settings
from wine_ui.way import connect, on_the_way

TABLE: Final = httpx.Timeout(60.0, connect=3.0)  # seconds that the largest table may take
CATEGORY: Final = {"name": "color", "label": "Colour"}  # of an API that does not say what its wines differ in

COMBINATION: Final = "all together"  # what is unlike any seen where no single measurement is

Purpose = Literal["user", "what_if", "check"]  # of a question: only a user's own counts as somebody's wine
Schema = Mapping[str, Any]
Measured = Mapping[str, float | str]

BY_ITSELF: Final = "This page goes on by itself as soon as it does."
TELL: Final = "If it stays, tell whoever runs this page: its log says why."
# What the page cannot do without in each answer: where it is missing, something else answered.
SCHEMA: Final = ("fields", "colors", "target", "presets", "distribution", "model_version")
MODEL: Final = ("model_version", "metadata", "promotion", "evaluation", "dataset", "commit", "card", "dataset_card")
PREDICTION: Final = ("quality", "interval", "grade", "probabilities", "at_least_7", "warnings", "model_version")
EXPLANATION: Final = ("quality", "typical", "contributions")
TABLE_ANSWER: Final = ("rows", "refused", "summary")


class Problem(TypedDict):
    """One broken rule: the row of a batch, the field, and a sentence."""

    row: int | None
    field: str | None
    message: str


class Scored(NamedTuple):
    """What is kept of a row's answer: a file has 20,000 of them."""

    row: int
    category: str
    score: float
    low: float
    high: float
    good: float  # the share of such wines that is graded 7 or better
    unlike: str  # the measurements that are unlike any seen, or COMBINATION, or nothing


class ApiError(Exception):
    """Why there is no answer: `advice` is for visitors, `reason` for whoever runs the page."""

    def __init__(self, sentence: str, advice: str, reason: str = "") -> None:
        super().__init__(sentence)
        self.advice, self.reason = advice, reason


class Unreachable(ApiError):
    """Nobody answers at the address, or not in time."""


class NotReady(ApiError):
    """The service runs but cannot answer yet."""


class WrongKey(ApiError):
    """The service wants another key."""


class Refused(ApiError):
    """The wines break a rule; `candidates` are a table's columns that may be the ones that are missing."""

    def __init__(self, sentence: str, problems: list[Problem], candidates: Mapping[str, list[str]]) -> None:
        super().__init__(sentence, "Correct the measurement and try again.")
        self.problems = problems
        self.candidates = candidates


class Client:
    """One API; safe to share between sessions. It waits at most `patience` seconds for an answer."""

    def __init__(self, settings: Settings, patience: float = 10.0) -> None:
        self.address = str(settings.api_url).rstrip("/")
        headers = {"X-API-Key": settings.api_key.get_secret_value().rstrip()} if settings.api_key else {}
        self._patience = httpx.Timeout(patience, connect=3.0)
        self._http = connect(self.address, headers=headers)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def schema(self) -> Schema:
        """The measurements and the category of a wine, presets and the distribution of known wines."""
        return {"category": CATEGORY} | self._ask("GET", "/schema", SCHEMA)

    def model(self) -> dict[str, Any]:
        """The version that answers, and how it was judged."""
        return self._ask("GET", "/model", MODEL)

    def predict(self, wine: Measured, purpose: Purpose = "user", assumed: Collection[str] = ()) -> dict[str, Any]:
        """Score, interval, grade and warnings of one wine, of which `assumed` was not measured."""
        marks = {"X-Wine-Assumed": ",".join(assumed)} if assumed else {}
        return self._ask("POST", "/predict", PREDICTION, wine, {"X-Wine-Purpose": purpose} | marks)

    def explain(self, wine: Measured) -> dict[str, Any]:
        """How far each measurement moved the score."""
        return self._ask("POST", "/explain", EXPLANATION, wine)

    def predict_table(self, content: bytes, kind: str, said: Mapping[str, str], category: str) -> dict[str, Any]:
        """The answers for a file, each row as `Scored`, and what is wrong with which cell.

        `said` is what the file does not say, `category` what its wines differ in.
        """
        with self._asked("POST", "/predict/table", said, content=content, headers={"Content-Type": kind}) as answer:
            if answer.is_success:
                return self._read(answer, TABLE_ANSWER, stream.read, answer.iter_text(), partial(_scored, category))
            answer.read()
        return self._json(answer, TABLE_ANSWER)

    def table_with_answers(self, content: bytes, kind: str, said: Mapping[str, str]) -> bytes:
        """The file itself with answers behind its columns; asked for again, so it counts as nobody's question."""
        headers = {"Content-Type": kind, "Accept": "text/csv", "X-Wine-Purpose": "check"}
        with self._asked("POST", "/predict/table", said, content=content, headers=headers) as answer:
            if answer.is_success and answer.headers.get("content-type", "").startswith("text/csv"):
                file = io.BytesIO()  # `read` would hold it twice
                file.writelines(answer.iter_bytes())
                return file.getvalue()
            answer.read()
        self._json(answer, ())
        raise self._somebody_else(answer)

    def predict_batch(self, wines: Sequence[Measured]) -> dict[str, Any]:
        """The answers for many wines that nobody has, in order."""
        headers = {"X-Wine-Purpose": "what_if"}
        return self._ask("POST", "/predict/batch", ("predictions",), {"wines": list(wines)}, headers)

    def predict_each(self, wines: Sequence[Measured]) -> list[dict[str, Any] | list[Problem]]:
        """The answer for each wine, or the rules that it breaks: the wines that break none are asked about again."""
        found: dict[int, list[Problem]] = {}
        while waiting := [row for row in range(len(wines)) if row not in found]:
            try:
                predictions = self.predict_batch([wines[row] for row in waiting])["predictions"]
            except Refused as refused:
                broken = [problem for problem in refused.problems if problem["row"] is not None]
                if not broken:
                    raise
                for problem in broken:
                    found.setdefault(waiting[problem["row"] or 0], []).append(problem)
            else:
                answers = dict(zip(waiting, predictions, strict=True))
                return [found.get(row) or answers[row] for row in range(len(wines))]
        return [found[row] for row in range(len(wines))]

    def _ask(
        self,
        method: str,
        path: str,
        needed: Collection[str],
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        with self._asked(method, path, {}, self._patience, json=body, headers=headers) as answer:
            answer.read()
        return self._json(answer, needed)

    @contextmanager
    def _asked(
        self, method: str, path: str, query: Mapping[str, str], timeout: httpx.Timeout = TABLE, **request: Any
    ) -> Iterator[httpx.Response]:
        """The answer, of which nothing but the head has been read."""
        try:
            with self._http.stream(method, path, params=query, timeout=timeout, **request) as answer:
                yield answer
        except httpx.TimeoutException:
            raise Unreachable(
                "The wine service is not answering in time.",
                f"It may be busy or starting. {BY_ITSELF}",
                f"{self.address} does not answer in time",
            ) from None
        except httpx.HTTPError as error:
            variables = ", ".join(["WINE_API_URL", *on_the_way(self.address)])
            raise Unreachable(
                "The wine service is not answering.",
                BY_ITSELF,
                f"no wine service at {self.address} ({error}): start it with `make serve`, or correct {variables}",
            ) from None

    def _json(self, answer: httpx.Response, needed: Collection[str]) -> dict[str, Any]:
        """What was answered, where it holds what is needed."""
        content = self._read(answer, needed, answer.json)
        if answer.is_success:
            return content
        raise _failure(answer.status_code, content)

    def _read(
        self, answer: httpx.Response, needed: Collection[str], read: Callable[..., Any], *given: Any
    ) -> dict[str, Any]:
        """The JSON object in an answer of the service; of nobody else's."""
        try:
            content = read(*given)
        except ValueError:
            raise self._somebody_else(answer) from None
        if not isinstance(content, dict) or (answer.is_success and not content.keys() >= {*needed}):
            raise self._somebody_else(answer)
        return content

    def _somebody_else(self, answer: httpx.Response) -> Unreachable:
        kind = answer.headers.get("content-type", "nothing that it names")
        return Unreachable(
            "Something else than the wine service is answering.",
            "This page goes on by itself as soon as the service does.",
            f"{self.address} answers with status {answer.status_code} and {kind}, which is no answer of the wine "
            "service: correct WINE_API_URL, or what stands between",
        )


def _scored(category: str, row: dict[str, Any]) -> Scored:
    """A row's answer in short."""
    interval, unlike = row["interval"], ",".join(each["field"] or "" for each in row["warnings"])
    unlike = sys.intern(unlike or COMBINATION) if row["warnings"] else ""
    return Scored(
        row["row"], row[category], row["quality"], interval["low"], interval["high"], row["at_least_7"], unlike
    )


def _failure(status: int, content: dict[str, Any]) -> ApiError:
    sentence = str(content.get("detail") or f"the service answered with status {status}")
    match status:
        case 401 | 403:
            reason = "the service wants another key: set WINE_API_KEY to it"
            return WrongKey("The wine service does not let this page in.", TELL, reason)
        case 400 | 413 | 415 | 422:
            return Refused(sentence, content.get("errors", []), content.get("candidates", {}))
        case 503:
            return NotReady("The wine service has no model to answer with yet.", BY_ITSELF, sentence)
        case 404:
            reason = "this address answers, but it is no wine service: correct WINE_API_URL"
            return Unreachable("Something else than the wine service is answering.", TELL, reason)
        case _:
            return ApiError("The wine service failed.", f"Try again. {TELL}", sentence)
