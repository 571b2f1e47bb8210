"""Around every route: the call's id, the API key, the metrics, and errors as one kind of answer."""

import json
import logging
import re
import time
from contextvars import ContextVar
from random import getrandbits
from secrets import compare_digest
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wine_serving.api.loading import RETRY_SECONDS, Loader
from wine_serving.api.metrics import Metrics
from wine_serving.errors import NoModel, RequestRefused
from wine_serving.predictions import Origin, Trace

OPEN_ROUTES: Final = frozenset({"/health", "/live"})  # probes carry no key
MAX_PROBLEMS: Final = 100  # how many broken rules one answer lists

_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")  # W3C Trace Context
_CLOUD_TRACE: Final = re.compile(rb"([0-9a-f]{32})(?:/(\d{1,20}))?(?:;o=\d)?")

_log = logging.getLogger(__name__)


class Call:
    """One call of the API, as far as it is known before its body is read."""

    __slots__ = ("headers", "id", "started")

    def __init__(self, scope: Scope) -> None:
        self.started = time.perf_counter()
        self.id = f"{getrandbits(128):032x}"
        self.headers: dict[bytes, bytes] = dict(scope["headers"])

    def seconds(self) -> float:
        """Time since the call came in."""
        return time.perf_counter() - self.started

    def trace(self) -> Trace | None:
        """The trace of the `traceparent` or `X-Cloud-Trace-Context` header, if there is a valid one."""
        if found := _TRACEPARENT.fullmatch(self.headers.get(b"traceparent", b"")):
            return Trace(found[1].decode(), found[2].decode())
        if found := _CLOUD_TRACE.fullmatch(self.headers.get(b"x-cloud-trace-context", b"")):
            return Trace(found[1].decode(), f"{int(found[2]):016x}" if found[2] else None)
        return None

    def origin(self) -> Origin:
        """What the prediction log keeps of the call."""
        return Origin(self.id, self.seconds(), self.trace())


CALL: Final[ContextVar[Call]] = ContextVar("call")  # the one that is being answered


class Middleware:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, loader: Loader, metrics: Metrics, api_key: str | None) -> None:
        self._app = app
        self._loader = loader
        self._metrics = metrics
        self._api_key = api_key.encode() if api_key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong on the way is answered as a refusal."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = Call(scope)
        CALL.set(call)
        status = 0

        async def send_with_ids(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self._ids(call)]
            await send(message)

        try:
            self._check_key(scope["path"], call)
            await self._app(scope, receive, send_with_ids)
        except (RequestRefused, NoModel) as error:
            await _answer(send_with_ids, call, _refusal(error))
        except Exception:
            _log.exception("request %s failed", call.id)
            if status:  # the answer has begun: the server closes the connection
                raise
            await _answer(
                send_with_ids, call, RequestRefused(500, "the service failed; its log tells more by the request id")
            )
        finally:
            self._metrics.answered(_path(scope), status, call.seconds())

    def _check_key(self, path: str, call: Call) -> None:
        if self._api_key is None or path in OPEN_ROUTES:
            return
        if not compare_digest(call.headers.get(b"x-api-key", b""), self._api_key):
            raise RequestRefused(
                401,
                "X-API-Key is missing or wrong: send the key of this service",
                headers={"WWW-Authenticate": "ApiKey"},
            )

    def _ids(self, call: Call) -> list[tuple[bytes, bytes]]:
        version = self._loader.version
        model = [(b"x-model-version", version.encode())] if version else []
        return [(b"x-request-id", call.id.encode()), *model]


def _path(scope: Scope) -> str:
    route: Any = scope.get("route")
    return route.path if route else "unknown"


def _refusal(error: RequestRefused | NoModel) -> RequestRefused:
    """The one place where an error of the domain becomes an answer of HTTP."""
    if isinstance(error, NoModel):
        return RequestRefused(503, str(error), headers={"Retry-After": str(round(RETRY_SECONDS))})
    return error


async def _answer(send: Send, call: Call, error: RequestRefused) -> None:
    body = json.dumps(
        {
            "detail": str(error),
            "errors": list(error.problems)[:MAX_PROBLEMS],
            "n_errors": len(error.problems),
            "request_id": call.id,
        }
    ).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))} | error.headers
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
