"""Around every route: the API key, the metrics, and errors as one kind of answer.

The routes that take wines are answered here, before FastAPI's router: from the body's bytes to the answer's, at the
speed of an empty endpoint. FastAPI documents them, and routes all others.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from secrets import compare_digest
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wine_serving.api.answers import Refusal
from wine_serving.api.body import MOST_PROBLEMS, Bodies
from wine_serving.api.call import JSON, Call
from wine_serving.api.loading import RETRY_SECONDS, Loader
from wine_serving.api.log import PredictionLog, encode
from wine_serving.api.metrics import Metrics
from wine_serving.errors import NoModel, RequestRefused, TableRefused
from wine_serving.schema import INPUTS

OPEN_ROUTES: Final = frozenset({"/health", "/live", "/docs", "/openapi.json"})  # probes and readers carry no key
THREADS: Final = 2  # for what takes longer than a few requests may wait

_log = logging.getLogger(__name__)
Headers = Sequence[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """A body, of which kind it is, and what is said with it."""

    body: bytes
    kind: bytes = JSON
    status: int = 200
    headers: Headers = ()


class Take(NamedTuple):
    """How a route takes bodies: of which kinds, how long, and what it answers; at once, or in a thread."""

    answer: Callable[[Call, bytes], Answer]
    limit: int
    at_once: bool = False
    kinds: tuple[bytes, ...] = (JSON,)


class Middleware:
    """The outermost layer of the app."""

    def __init__(
        self,
        app: ASGIApp,
        takes: Mapping[str, Take],
        loader: Loader,
        metrics: Metrics,
        log: PredictionLog | None,
        bodies: Bodies,
        key: str | None,
    ) -> None:
        self._app, self._takes, self._bodies = app, takes, bodies
        self._loader, self._metrics, self._log = loader, metrics, log
        self._key = key.encode() if key else None
        self._threads = ThreadPoolExecutor(THREADS, "wines")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong on the way is answered as a refusal."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = Call(scope)
        try:
            self._check_key(call)
            if scope["method"] == "POST" and (take := self._takes.get(call.path)):
                call.route = call.path
                await self._send(send, call, await self._taken(take, call, receive))
            else:
                await self._passed_on(call, scope, receive, send)
        except (RequestRefused, NoModel, TableRefused) as error:
            refusal = _refusal(call, error)
            self._note(call, refusal.status, getattr(error, "problems", ()))
            await self._send(send, call, refusal)
        except Exception:
            _log.exception("request %s failed", call.id)
            if call.status:  # the answer has begun: the server closes the connection
                raise
            failed = RequestRefused(500, "the service failed; its log tells more by the request id")
            await self._send(send, call, _refusal(call, failed))
        finally:
            self._metrics.answered(call)

    def _note(self, call: Call, status: int, problems: Sequence[Mapping[str, object]]) -> None:
        """Log that wines were refused, for whoever looks after the service: a unit that nobody expected shows so."""
        if self._log and call.route in self._takes and status < 500:
            wrong = {problem["field"] for problem in problems}
            fields = [name for name in INPUTS if name in wrong]  # never a caller's own words
            self._log.add(call.refusal(self._loader.version, status, fields), (), ())

    def _check_key(self, call: Call) -> None:
        if self._key is None or call.path in OPEN_ROUTES:
            return
        if not compare_digest(call.headers.get(b"x-api-key", b""), self._key):
            sentence = "X-API-Key is missing or wrong: send the key of this service"
            raise RequestRefused(401, sentence, headers={"WWW-Authenticate": "ApiKey"})

    async def _taken(self, take: Take, call: Call, receive: Receive) -> Answer:
        call.check_body(take.kinds)
        body = await self._bodies.gather(call.headers, receive, take.limit)
        if take.at_once:
            return take.answer(call, body)
        return await asyncio.get_running_loop().run_in_executor(self._threads, take.answer, call, body)

    async def _passed_on(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_ids(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                message["headers"] = [*message["headers"], *self._ids(call)]
            await send(message)

        if scope["method"] == "HEAD":  # answered as GET is; the server leaves out the body
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send_with_ids)
        call.route = getattr(scope.get("route"), "path", call.route)

    async def _send(self, send: Send, call: Call, answer: Answer) -> None:
        body, kind, call.status, more = answer
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *self._ids(call), *more]
        await send({"type": "http.response.start", "status": call.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _ids(self, call: Call) -> Headers:
        own, version = (b"x-request-id", call.id.encode()), self._loader.version
        return (own, (b"x-model-version", version.encode())) if version else (own,)


def _refusal(call: Call, error: RequestRefused | NoModel | TableRefused) -> Answer:
    """The one place where an error of the domain becomes an answer of HTTP."""
    told = Refusal(str(error), [], 0, call.id)
    if isinstance(error, TableRefused):
        told.candidates = error.candidates or {}
        return Answer(encode(told), status=422)
    if isinstance(error, NoModel):
        return Answer(encode(told), status=503, headers=[(b"retry-after", b"%d" % RETRY_SECONDS)])
    told.errors, told.n_errors = error.problems[:MOST_PROBLEMS], len(error.problems)
    headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    return Answer(encode(told), status=error.status, headers=headers)
