"""All that adrt would have on disk for one agent, and each request that changes it."""

from __future__ import annotations

import _thread
import os

from .._errors import Crash, PatchFailed
from .._json import encode
from .common import Clock, Refused, Undo, whole
from .engines import Engines
from .inbox import Inbox
from .kept import Kept
from .reviews import RESOLVED, Reviews
from .states import States
from .steps import Steps, place
from .timers import Timers
from .wire import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

KEYS_KEPT = 65_536


class MemoryStore:
    """What an agent finds when it starts, and works on."""

    def __init__(self) -> None:
        self.run_id = f"memory-{os.getpid()}-{id(self):x}"
        self.clock = Clock()
        self.undo = Undo()
        self.states = States(self.undo, self.clock)
        self.inbox = Inbox(self.undo, self.clock)
        self.reviews = Reviews(self.undo, self.clock)
        self.steps = Steps(self.undo, self.run_id, self.reviews)
        self.engines = Engines(self.undo, self.clock, self.reviews)
        self.timers = Timers(self.undo, self.clock)
        self.kept = Kept(self.undo)
        self.outbox: list[dict[str, Any]] = []
        """What was emitted to other agents: `to` and `event`."""
        self.peers: dict[str, MemoryStore] = {}
        """Agents by name that events can be emitted to."""
        self.incarnation = 0
        self.finished: Any = None
        self.is_finished = False
        self.ends_when_idle = False
        """Whether the agent is told to end once it waits for events and none will come."""
        self.on_review: Callable[[int], object] | None = None
        """Called with each review that the agent waits for while nobody else does anything."""
        self.checkpoint_every: int | None = None
        self.before_write: Callable[[], None] | None = None
        """Called before a write; what it raises, the agent's call raises."""
        self.after_write: Callable[[], None] | None = None
        """Called when a write is done and not yet acknowledged."""
        self.lock = _thread.RLock()
        self._keys: dict[str, tuple[str, Any]] = {}
        self._crashes = 0  # in a row
        self._died = False  # the incarnation before this one, by a crash
        self._sent: list[dict[str, Any]] = []  # to peers, by the request under way
        self._connection: Connection | None = None
        self._done = 0  # events
        self._processed: dict[int, dict[str, Any]] = {}  # what was decided, by seq

    @property
    def state(self) -> dict[str, Any]:
        """The state. Not to be changed."""
        return self.states.value

    @property
    def version(self) -> int:
        """Its version."""
        return self.states.version

    @property
    def checkpoints(self) -> list[dict[str, Any]]:
        """Newest last, each with its content as `state`."""
        return self.states.checkpoints

    # --------------------------------------------------- incarnations

    def connect(self, agent_id: str | None) -> Connection:
        """A new incarnation's wire. What the one before it held is handed out again."""
        with self.lock:
            self.incarnation += 1
            self.inbox.let_go(self._died)
            self.undo.forget()
            self._connection = Connection(self, agent_id or "agent")
            return self._connection

    def crashed(self) -> None:
        """The incarnation has died: events it holds have one more crash to their name."""
        self._crashes += 1
        self._died = True

    def beginning(self) -> dict[str, Any]:
        """How this incarnation came to be."""
        died, self._died = self._died, False
        reason = "crash" if died else "first" if self.incarnation == 1 else "resume"
        return {
            "reason": reason,
            "exit": None,
            "crashes_in_row": self._crashes,
            "downtime_ms": 0,
            "safe_mode": False,
        }

    def progress(self) -> None:
        """Something was done; whatever crashed before, crashes no more."""
        self._crashes = 0

    # ------------------------------------------------- from outside

    def emit(self, event: dict[str, Any], delay: float = 0) -> dict[str, Any]:
        """An event from outside; an agent that waits for one gets it, in whatever thread."""
        with self.lock:
            emitted = self.inbox.emit(event, round(delay * 1000))
            self.undo.forget()
        self._notice()
        return emitted

    def settle_review(
        self,
        number: int,
        status: str,
        answer: Any = None,
        note: str | None = None,
        by: str | None = None,
    ) -> None:
        """A person has decided: approved or rejected."""
        with self.lock:
            self.reviews.settle(number, status, answer=answer, note=note, by=by)
            self._resolved(number)
        self._notice()

    def _resolved(self, number: int) -> None:
        self.inbox.wake(review=number)
        told = self.reviews.told(number)
        told.pop("by", None)
        self.inbox.emit({"type": RESOLVED, **told}, None)
        self.undo.forget()
        if self._connection is not None:
            self._connection.notify(RESOLVED, told)

    def set_environment(
        self, level: str, score: float = 0.0, signals: dict[str, Any] | None = None
    ) -> None:
        """The sensors say something else."""
        with self.lock:
            told = {"level": level, "score": score, "signals": signals or {}}
            self.engines.environment = told
            if self._connection is not None:
                self._connection.notify("environment.changed", told)
        self._notice()

    def shut_down(self) -> None:
        """Tells the agent to end."""
        if self._connection is not None:
            self._connection.end("operator")
        self._notice()

    def move_on(self, seconds: float) -> None:
        """Makes it later, for delays and timers."""
        self.clock.move_on(seconds)
        self._notice()

    def _notice(self) -> None:
        if self._connection is not None:
            self._connection.wake()

    # ------------------------------------------------------------ time

    def fire(self) -> None:
        """Timers that are due become events; reviews that nobody settles expire."""
        with self.lock:
            for event in self.timers.take_due():
                self.inbox.emit(event, None)
            self.undo.forget()
            for number in self.reviews.expired():
                self.reviews.settle(number, "expired")
                self._resolved(number)

    def read(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Answers a request that changes nothing."""
        if method not in READS:
            raise Refused("method_not_found", f"there is no method {method}")
        with self.lock:
            return READS[method](self, params)

    # ------------------------------------------------------- writing

    def write(self, method: str, params: dict[str, Any], number: int) -> dict[str, Any]:
        """Carries out a request that changes something, once for each key."""
        with self.lock:
            result = self._write(method, params, number)
            sent, self._sent = self._sent, []
        for item in sent:  # not under the lock: the other may be sending to us
            self.peers[item["to"]].emit(item["event"], item["delay"])
        return result

    def _write(self, method: str, params: dict[str, Any], number: int) -> dict[str, Any]:
        key = None if method in _KEY_IS_ANOTHER else params.pop("key", None)
        asked = method + encode(params, "params").decode()
        if key in self._keys:
            before, result = self._keys[key]
            if before != asked:
                raise Refused("key_reused", "this key was used for another request: take a new one")
            return dict(result)
        self._hook(self.before_write)
        try:
            result = self._commit(method, params, number)
        except BaseException:
            self.undo.back()
            raise
        self.undo.forget()
        if key is not None:
            self._keys[key] = (asked, dict(result))
            if len(self._keys) > KEYS_KEPT:
                del self._keys[next(iter(self._keys))]
        self._hook(self.after_write)
        return result

    def _hook(self, hook: Callable[[], None] | None) -> None:
        if hook is not None:
            try:
                hook()
            except Crash:
                self.crashed()
                raise

    def changes(self, method: str) -> bool:
        """Whether it is a method that changes something."""
        return method in WRITES

    def _commit(self, method: str, params: dict[str, Any], number: int) -> dict[str, Any]:
        self.states.guard(params.pop("if_version", None))
        return WRITES[method](self, params, number)

    def _finish(self, params: dict[str, Any], _number: int) -> dict[str, Any]:
        self.undo.set(self, is_finished=True, finished=params.get("result"))
        return {}

    def _emit(self, params: dict[str, Any], _number: int) -> dict[str, Any]:
        event, to = whole(params, "event"), params.get("to")
        if to is None:
            return self.inbox.emit(event, params.get("delay_ms"))
        if self.peers:
            if to not in self.peers:
                raise Refused("unknown_agent", f"there is no agent {to}")
            self.undo.add(self._sent.pop)
            self._sent.append({"to": to, "event": event, "delay": params.get("delay_ms", 0) / 1000})
        self.undo.add(self.outbox.pop)
        self.outbox.append({"to": to, "event": event})
        return {"outbox_id": len(self.outbox)}

    def _ack(self, params: dict[str, Any], number: int) -> dict[str, Any]:
        self.inbox.ack(params)
        if "patch" in params:
            self.states.change(params.get("format", "merge"), params["patch"])
        for item in params.get("emit", ()):
            self._emit(item if "event" in item else {"event": item}, number)
        for step in params.get("steps", ()):
            self.steps.complete(step, self._holder(step, number))
        for entry in params.get("kv", ()):
            (self.kept.delete if entry.get("delete") else self.kept.put)(entry)
        wanted = params.get("checkpoint")
        if wanted:
            self.states.snapshot(wanted.get("label") if isinstance(wanted, dict) else None, number)
        self._event_done(number)
        self.progress()
        return {"version": self.version}

    def _event_done(self, number: int) -> bool:
        """One more; whether that made a checkpoint."""
        self.undo.set(self, _done=self._done + 1)
        due = bool(self.checkpoint_every) and self._done % (self.checkpoint_every or 1) == 0
        if due:
            self.states.snapshot(None, number)
        return due

    def _process(self, params: dict[str, Any], number: int) -> dict[str, Any]:
        seq, checkpointed = params.get("seq"), False
        if (seq is None) == ("event" not in params):
            raise Refused("invalid_params", "event.process takes an event, or the seq of one")
        if seq in self._processed:
            return self._processed[seq]
        if seq is None:
            seq, duplicate = self.inbox.record(params["event"])
            if duplicate and seq in self._processed:  # by its source and id
                return {**self._processed[seq], "checkpoint_created": False}
            decided = self.engines.process(params["event"])
            checkpointed = self._event_done(number)
        else:
            decided = self.engines.process(self.inbox.held_entry({"seq": seq}).event)
        decided.update(
            seq=seq,
            state_version=self.version,
            state_persisted=True,
            checkpoint_created=checkpointed,
        )
        self.undo.put(self._processed, seq, decided)
        if len(self._processed) > KEYS_KEPT:
            del self._processed[next(iter(self._processed))]
        return decided

    def _review(self, params: dict[str, Any]) -> dict[str, Any]:
        if "decision_id" in params:
            self.engines.known(params["decision_id"])
        return self.reviews.request(params)

    def _park(self, params: dict[str, Any], _number: int) -> dict[str, Any]:
        review = (params.get("until") or {}).get("review")
        settled = review is not None and self.reviews.get(review)["status"] != "pending"
        return self.inbox.park(params, settled)

    def _holder(self, params: dict[str, Any], number: int) -> tuple[int, int]:
        """Who begins or completes a step: this incarnation, in the event's attempt."""
        kind, seq, _ = place(params)
        return number, self.inbox.held_entry({"seq": seq}).attempt if kind == "seq" else 0

    def _begin(self, params: dict[str, Any], number: int) -> dict[str, Any]:
        return self.steps.begin(params, self._holder(params, number))

    def _complete(self, params: dict[str, Any], number: int) -> dict[str, Any]:
        self.steps.complete(params, self._holder(params, number))
        if "patch" in params:
            self.states.change("merge", params["patch"])
        self.progress()
        return {"version": self.version}

    def _together(self, params: dict[str, Any], number: int) -> dict[str, Any]:
        version, kept, results = self.version, len(self.checkpoints), []
        for index, op in enumerate(params["ops"]):
            try:
                if op["method"] not in WRITES or op["method"] in _NOT_IN_TX:
                    raise Refused("invalid_params", f"{op['method']} can't be part of a tx")
                results.append(self._commit(op["method"], dict(op["params"]), number))
            except (Refused, PatchFailed) as error:
                error.data["index"] = index
                raise
        self.states.as_one(version, kept, results)
        return {"results": results}


WRITES: dict[str, Callable[[MemoryStore, dict[str, Any], int], dict[str, Any]]] = {
    "state.set": lambda store, p, n: store.states.change("set", p["value"]),
    "state.patch": lambda store, p, n: store.states.change(p.get("format", "merge"), p["patch"]),
    "checkpoint.create": lambda store, p, n: store.states.snapshot(p.get("label"), n),
    "checkpoint.restore": lambda store, p, n: store.states.restore(p["id"]),
    "event.emit": MemoryStore._emit,
    "event.ack": MemoryStore._ack,
    "event.nack": lambda store, p, n: store.inbox.nack(p),
    "event.park": MemoryStore._park,
    "event.extend": lambda store, p, n: store.inbox.extend(p),
    "event.process": MemoryStore._process,
    "confidence.record_outcome": lambda store, p, n: store.engines.record(p),
    "decision.decide": lambda store, p, n: store.engines.decide(p),
    "review.request": lambda store, p, n: store._review(p),
    "step.begin": MemoryStore._begin,
    "step.complete": MemoryStore._complete,
    "step.forget": lambda store, p, n: store.steps.forget(p["scope"]),
    "kv.put": lambda store, p, n: store.kept.put(p),
    "kv.delete": lambda store, p, n: store.kept.delete(p),
    "timer.set": lambda store, p, n: store.timers.set(p),
    "timer.cancel": lambda store, p, n: store.timers.cancel(p["id"]),
    "tx": MemoryStore._together,
    "run.finish": MemoryStore._finish,
}

READS: dict[str, Callable[[MemoryStore, dict[str, Any]], dict[str, Any]]] = {
    "state.get": lambda store, p: store.states.read(p.get("path")),
    "checkpoint.list": lambda store, p: store.states.listed(p.get("limit")),
    "event.history": lambda store, p: store.inbox.history(p),
    "review.get": lambda store, p: store.reviews.told(p["id"]),
    "context.analyze": lambda store, p: store.engines.analyze(p),
    "confidence.calculate": lambda store, p: store.engines.calculate(p),
    "kv.get": lambda store, p: store.kept.get(p),
    "kv.list": lambda store, p: store.kept.list(p),
    "ready": lambda store, p: {},
    "heartbeat": lambda store, p: {},
    "log": lambda store, p: {},
}

_NOT_IN_TX = ("tx", "checkpoint.restore", "run.finish")
_KEY_IS_ANOTHER = ("kv.put", "kv.delete", "review.request")
