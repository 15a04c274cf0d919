"""A wire that ends in this process: what is written is answered at once.

Events come by themselves, so whoever waits has to be woken: a thread in
`wait` by a lock, an asyncio loop by `on_wake`, both from whatever thread.
"""

from __future__ import annotations

import _thread

from .._errors import AdrtError
from .._json import decode, encode
from .._version import PROTOCOL
from .common import CODES, Refused
from .states import MAX_STATE, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .store import MemoryStore

MAX_FRAME = 16 * 1024 * 1024


class Connection:
    """One incarnation's."""

    read_fd = write_fd = -1
    supervised = owned = False

    def __init__(self, store: MemoryStore, agent: str) -> None:
        self.on_wake: Callable[[], None] | None = None
        self._store = store
        self._agent = agent
        self._number = store.incarnation
        self._initialized = False
        self._part = b""
        self._replies: list[bytes] = []
        self._bell = _thread.allocate_lock()
        self._bell.acquire()
        self._subscription: dict[str, Any] | None = None
        self._expecting = False  # the program waits for an event
        self._others = 0  # callers that wait for a person, or for the machine
        self._ending = False

    # ------------------------------------------------ as a transport

    def write(self, _fd: int, data: memoryview) -> int:
        lines = (self._part + bytes(data)).split(b"\n")
        self._part = lines.pop()
        for line in lines:
            if line:
                self.line(line)
        self._ring()  # for another thread that waits
        return len(data)

    def read(self, _fd: int, _size: int) -> bytes:
        self.turn()
        replies, self._replies = self._replies, []
        if not replies:
            raise BlockingIOError
        return b"".join(replies)

    def wait(self, write: bool, timeout: float | None) -> None:
        clock = self._store.clock
        end = None if timeout is None else clock.now() + timeout
        while not write:
            self.turn()
            if self._replies:
                return
            times = [time for time in (end, self._next_due()) if time is not None]
            left = min(times) - clock.now() if times else -1
            if end is not None and end <= clock.now():
                return
            if left != 0:
                self._bell.acquire(True, -1 if not times else max(left, 0.001))

    def expect_events(self) -> None:
        self._expecting = True
        self._lull()

    def await_others(self, change: int) -> None:
        self._others += change
        if change > 0:
            self._lull()

    def gone(self) -> str:
        return "the memory store is never gone"

    def not_begun(self, error: AdrtError) -> AdrtError:
        return error

    def let_go(self) -> None:
        pass

    def close(self) -> None:
        pass

    # ------------------------------------------------------- waking up

    def wake(self) -> None:
        """Something has happened that the program didn't ask for."""
        self._ring()
        if self.on_wake is not None:
            self.on_wake()

    def _ring(self) -> None:
        try:
            self._bell.release()
        except RuntimeError:
            pass  # it rings already

    def seconds_to_wait(self) -> float | None:
        """After how long to read again, even if nobody rings."""
        due = self._next_due()
        return None if due is None else max(0.0, due - self._store.clock.now())

    def _next_due(self) -> float | None:
        store, wanted = self._store, self._subscription
        if not self._live or self._ending:
            return None
        times = [store.reviews.next_due()]
        if wanted is not None:
            times.append(store.timers.next_due())
            if store.inbox.held < wanted["credit"]:
                times.append(store.inbox.next_due(wanted.get("types")))
        return min((time for time in times if time is not None), default=None)

    @property
    def _live(self) -> bool:
        return self._initialized and self._number == self._store.incarnation

    # ------------------------------------------------------ as adrt

    def turn(self) -> None:
        """Does what is due: timers go off, events are handed out."""
        store, wanted = self._store, self._subscription
        if not self._live:
            return
        with store.lock:
            store.fire()
            while wanted is not None and not self._ending and store.inbox.held < wanted["credit"]:
                entry = store.inbox.ready(wanted.get("types"))
                if entry is None:
                    break
                self.tell("event.deliver", store.inbox.hand_out(entry))
                store.undo.forget()
                self._expecting = False

    def _lull(self) -> None:
        """The program only waits: time may pass, a person answer, or all has been done."""
        store, wanted = self._store, self._subscription or {}
        self.turn()
        if not (self._expecting or self._others) or not store.ends_when_idle or self._ending:
            return
        if store.inbox.held > self._others:  # somebody is at work
            return
        if self._others and store.on_review is not None:
            pending = store.reviews.pending()
            for number in pending:
                store.on_review(number)
            if store.reviews.pending() != pending:
                return  # what was waited for has come
        due = store.inbox.next_due(wanted.get("types"))
        if due is not None and store.inbox.held < wanted.get("credit", 1):
            store.clock.move_on(max(0.0, due - store.clock.now()))
            self.turn()
        else:
            self.end("idle")

    def end(self, reason: str) -> None:
        """Tells the agent to end, and hands out no more."""
        if not self._ending:
            self._ending = True
            self.tell("shutdown", {"reason": reason, "deadline_ms": 10_000})

    def tell(self, method: str, params: dict[str, Any]) -> None:
        """Sends a notification."""
        text = encode({"jsonrpc": "2.0", "method": method, "params": params}, "params")
        self._replies.append(text + b"\n")

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """The same, to an agent that has said `initialize`."""
        if self._live:
            self.tell(method, params)

    def line(self, line: bytes) -> None:
        """Answers a line."""
        frame = decode(line)
        answer = self._answer(frame["method"], frame.get("params") or {})
        if "id" in frame:
            text = encode({"jsonrpc": "2.0", "id": frame["id"], **answer}, "reply")
            self._replies.append(text + b"\n")
        if self._expecting:
            self._lull()

    def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"result": self._result(method, params)}
        except Refused as refused:
            return _error(refused.kind, str(refused), refused.data, refused.retryable)
        except AdrtError as error:
            return _error(error.kind, str(error), error.data, error.retryable)

    def _result(self, method: str, params: dict[str, Any]) -> Any:
        store = self._store
        if method == "initialize":
            return self._initialize(params)
        if not self._initialized:
            raise Refused("invalid_request", "initialize comes first")
        if self._number != store.incarnation:
            raise Refused("stale_attempt", "a later incarnation has taken over")
        if store.changes(method):
            return store.write(method, params, self._number)
        if method == "event.subscribe":
            self._subscribe(params)
            return {}
        return store.read(method, params)

    def _subscribe(self, wanted: dict[str, Any]) -> None:
        if not isinstance(wanted.get("credit"), int) or wanted["credit"] < 1:
            raise Refused("invalid_params", "credit is 1 or more")
        self._subscription = wanted

    def _initialize(self, params: dict[str, Any]) -> dict[str, Any]:
        if self._initialized:
            raise Refused("already_initialized", "initialize was said before")
        if PROTOCOL not in params["protocol"]:
            raise Refused("unsupported_protocol", "no common version", supported=[PROTOCOL])
        if "events" in params:
            self._subscribe(params["events"])
        if params.get("checkpoint_every"):
            self._store.checkpoint_every = params["checkpoint_every"]
        self._initialized = True
        store = self._store
        newest = store.checkpoints[-1] if store.checkpoints else None
        return {
            "protocol": PROTOCOL,
            "agent": self._agent,
            "run_id": store.run_id,
            "incarnation": self._number,
            "start": store.beginning(),
            "state": {"version": store.version, "value": store.state},
            "checkpoint": None if newest is None else shown(newest),
            "pending": {
                "events": store.inbox.unsettled,
                "reviews": store.reviews.pending(),
                "steps": store.steps.open_ones(),
            },
            "environment": store.engines.environment,
            "limits": {"max_frame": MAX_FRAME, "max_state": MAX_STATE},
        }


def _error(kind: str, message: str, data: dict[str, Any], retryable: bool) -> dict[str, Any]:
    return {
        "error": {
            "code": CODES.get(kind, -32603),
            "message": message,
            "data": {"kind": kind, "retryable": retryable, **data},
        }
    }
