"""The API as the page sees it: typed answers, a time-out on every call, and failures as sentences.

ApiError
├── Unreachable   nobody answers at the address, or not in time
├── NotReady      the service runs but has no model to answer with
├── WrongKey      the service wants another key
└── Refused       the wines break a rule; `problems` says which
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal, TypedDict

import httpx

from wine_ui.settings import Settings

TABLE: Final = 60.0  # seconds that the largest table may take
CATEGORY: Final = {"name": "color", "label": "Colour"}  # of an API that does not say what its wines differ in

Purpose = Literal["user", "what_if", "check"]  # of a question: only a user's own counts as somebody's wine
Schema = Mapping[str, Any]
Measured = Mapping[str, float | str]


class Problem(TypedDict):
    """One broken rule: the row of a batch, the field, and a sentence."""

    row: int | None
    field: str | None
    message: str


class ApiError(Exception):
    """Why there is no answer; `advice` says what to do."""

    def __init__(self, sentence: str, advice: str) -> None:
        super().__init__(sentence)
        self.advice = advice


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
        limits = httpx.Timeout(patience, connect=3.0)
        self._http = httpx.Client(base_url=self.address, headers=headers, timeout=limits)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def schema(self) -> Schema:
        """The measurements and the category of a wine, presets and the distribution of known wines."""
        return {"category": CATEGORY} | self._ask("GET", "/schema")

    def model(self) -> dict[str, Any]:
        """The version that answers, and how it was judged."""
        return self._ask("GET", "/model")

    def predict(self, wine: Measured, purpose: Purpose = "user", assumed: Collection[str] = ()) -> dict[str, Any]:
        """Score, interval, grade and warnings of one wine, of which `assumed` was not measured."""
        marks = {"X-Wine-Assumed": ",".join(assumed)} if assumed else {}
        return self._ask("POST", "/predict", wine, {"X-Wine-Purpose": purpose} | marks)

    def explain(self, wine: Measured) -> dict[str, Any]:
        """How far each measurement moved the score."""
        return self._ask("POST", "/explain", wine)

    def predict_table(self, content: bytes, kind: str, said: Mapping[str, str]) -> dict[str, Any]:
        """The answers for a file, row by row, and what is wrong with which cell; `said` is what it does not say."""
        headers = {"Content-Type": kind}
        return self._json(self._send("POST", "/predict/table", said, content=content, headers=headers, timeout=TABLE))

    def table_with_answers(self, content: bytes, kind: str, said: Mapping[str, str]) -> bytes:
        """The file itself with answers behind its columns; asked for again, so it counts as nobody's question."""
        headers = {"Content-Type": kind, "Accept": "text/csv", "X-Wine-Purpose": "check"}
        answer = self._send("POST", "/predict/table", said, content=content, headers=headers, timeout=TABLE)
        if not answer.is_success:
            self._json(answer)
        return answer.content

    def predict_batch(self, wines: Sequence[Measured]) -> dict[str, Any]:
        """The answers for many wines that nobody has, in order."""
        return self._ask("POST", "/predict/batch", {"wines": list(wines)}, {"X-Wine-Purpose": "what_if"})

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
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        return self._json(self._send(method, path, {}, json=body, headers=headers))

    def _send(self, method: str, path: str, query: Mapping[str, str], **request: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, params=query, **request)
        except httpx.TimeoutException:
            raise Unreachable(
                f"The wine service at {self.address} is not answering in time.",
                "It may be busy or starting: wait a moment and try again.",
            ) from None
        except httpx.HTTPError:
            raise self._nobody() from None

    def _nobody(self) -> Unreachable:
        return Unreachable(
            f"There is no wine service at {self.address}.",
            "Start it with `make serve`, or correct WINE_API_URL. This page recovers by itself.",
        )

    def _json(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            content = answer.json()
        except ValueError:
            raise self._nobody() from None
        if answer.is_success and isinstance(content, dict):
            return content
        raise _failure(answer.status_code, content if isinstance(content, dict) else {})


def _failure(status: int, content: dict[str, Any]) -> ApiError:
    sentence = str(content.get("detail") or f"The service answered with status {status}.")
    match status:
        case 401 | 403:
            return WrongKey("The wine service wants another key.", "Set WINE_API_KEY to the key of the service.")
        case 400 | 413 | 415 | 422:
            return Refused(sentence, content.get("errors", []), content.get("candidates", {}))
        case 503:
            return NotReady("The wine service has no model to answer with yet.", sentence)
        case 404:
            return Unreachable("This address answers, but it is no wine service.", "Correct WINE_API_URL.")
        case _:
            return ApiError("The wine service failed.", f"{sentence} Try again; if it stays, tell the operator.")
