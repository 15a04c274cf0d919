"""The synchronous client.

    from adaptive_runtime import Agent

    with Agent() as agent:
        n = agent.state.get("n", 0)
        agent.patch({"n": n + 1})      # returns once it is on the disk

Any thread may call it. A call made by the main thread while SIGTERM comes
gets its answer first; then the process ends (see `_stop`).
"""

from __future__ import annotations

import _thread
import atexit
import time

from . import _event_requests, _link, _requests, _schema
from ._agent_engines import AgentEngines
from ._errors import Disconnected
from ._patience import Patience, again
from ._results import Checkpoint
from ._retry import RetryPolicy
from ._stop import EXIT_CODE, Terminator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeVar

    from ._link import Backend, Flow
    from ._requests import Request
    from ._results import StartInfo
    from ._state import StateDict

    T = TypeVar("T")


class Agent(AgentEngines):
    """This process as adrt's agent: its state, and what it can ask for."""

    def __init__(
        self,
        agent_id: str | None = None,
        *,
        schema: int | None = None,
        migrations: Mapping[int, _schema.Migration] | None = None,
        checkpoint_every: int | None = None,
        store_timeout: float = _link.STORE_TIMEOUT,
        on_stop: Callable[[], None] | None = None,
        types: Sequence[str] | None = None,
        credit: int | None = None,
        backend: Backend = None,
    ) -> None:
        """Connects, brings the state to `schema`, and says it is ready.

        `on_stop` is called, once, when adrt wants this agent to end; the
        program then ends by itself. `agent_id` names it in memory; under adrt
        the name is adrt's. With `credit` events are asked for at once, and
        the first are here when `events()` is called.
        """
        self.store_timeout = store_timeout
        self.retry_policy = RetryPolicy()
        self._schema = schema
        self._on_stop = on_stop
        self._ends_itself = on_stop is not None
        self._home = _thread.get_ident()
        self._busy = 0  # calls of the main thread under way
        self._leaving = False
        self._stopped = False
        self._link = _link.connect(backend, agent_id)
        self._core = self._link.core
        self._set_up_events()
        self._set_up_engines()
        try:
            wanted = None if credit is None else _event_requests.subscription(credit, types)
            self._start(agent_id, checkpoint_every, migrations, wanted)
        except BaseException:
            self.stop()
            raise

    def _start(
        self,
        agent_id: str | None,
        checkpoint_every: int | None,
        migrations: Mapping[int, _schema.Migration] | None,
        events: dict[str, Any] | None,
    ) -> None:
        link = self._link
        if link.info is None:
            hello = link.hello(agent_id, checkpoint_every, self._schema, events)
            link.welcome(*self._handshake(hello))
        if self._core.transport.supervised:  # else SIGTERM is none of our business
            link.terminator = Terminator(self._terminated)
            link.terminator.install()
        self._run(link.begin(self._schema, migrations, events))
        self._metrics.begin(link)
        self._tell(_requests.ready())
        atexit.register(self._flush)

    def _handshake(self, hello: Request) -> tuple[Any, Any]:
        first = self._core.send(hello)
        self._core.push()
        if self._core.wait(first, _link.HANDSHAKE_AGAIN_SECONDS):
            return first, None
        self._core.put_newline()
        second = self._core.send(hello)
        self._core.push()
        self._core.wait(second)
        return first, second

    # ------------------------------------------------------------ state

    @property
    def state(self) -> StateDict:
        """The state, read-only and live: what adrt has acknowledged so far.

        Within an event's block: with the changes made in it.
        """
        self._core.pump()
        if self._link.mirror.stale:
            self._run(self._link.refresh())
        return self._link.view()

    @property
    def version(self) -> int:
        """The version of `state`."""
        return self._link.mirror.version

    @property
    def start_info(self) -> StartInfo:
        """How this incarnation came to be."""
        assert self._link.info is not None  # __init__ would have raised
        return self._link.info

    def patch(
        self,
        patch: Any,
        *,
        format: str = "merge",
        if_version: int | None = None,
        key: str | None = None,
    ) -> int:
        """Changes members of the state; returns the new version, once it is on the disk.

        A merge patch (RFC 7396): objects merge all the way down, None deletes.
        `format="shallow"` puts whole top-level members in place and keeps
        None; `format="json"` takes a list of operations (RFC 6902).
        With `if_version`, only if that is still the version. With `key`, only
        once for ever, whoever repeats it.

        Within an event's block the change goes with the ack, unless it has a
        `key`; what comes back is the version it builds on.
        """
        return self._change(_requests.patch(patch, format, if_version, key))

    def append(self, path: str, value: Any, *, key: str | None = None) -> int:
        """Adds to the end of the list at `path` ("items" or "/a/items"), begun if absent."""
        version: int = self._run(self._link.append(path, value, key))
        return version

    def delete(self, path: str, *, if_version: int | None = None, key: str | None = None) -> int:
        """Removes what is at `path`; `PatchFailed` if nothing is."""
        return self._change(_requests.delete(_requests.pointer(path), if_version, key))

    def replace(
        self, state: dict[str, Any], *, if_version: int | None = None, key: str | None = None
    ) -> int:
        """Puts a whole new state in the place of the old."""
        kept = _schema.keep(state, self._schema)
        return self._change(_requests.replace(kept, if_version, key))

    # ------------------------------------------------------ checkpoints

    def checkpoint(self, label: str | None = None) -> Checkpoint:
        """Keeps the state as it is now, to come back to. With a label, for good."""
        taken = Checkpoint(self._call(_requests.checkpoint(label)))
        self._metrics.checkpoints += 1
        return taken

    def checkpoints(self, limit: int | None = None) -> list[Checkpoint]:
        """What can be gone back to, newest first."""
        listed = self._call(_requests.checkpoints(limit))["checkpoints"]
        return [Checkpoint(members) for members in listed]

    def recover(self) -> dict[str, Any]:
        """The newest state on the disk, as a dict of your own. Never goes back; that is `restore`."""
        return self.state.copy()

    def restore(self, checkpoint_id: int) -> int:
        """Goes back to a checkpoint: a new version with its content."""
        version: int = self._run(self._link.restore(checkpoint_id))
        return version

    # ------------------------------------------------------------- life

    @property
    def stopping(self) -> bool:
        """Whether adrt wants this agent to end. Whoever asks, ends it by themselves."""
        self._ends_itself = True
        self._core.pump()
        self._link.raise_if_lost()
        return self._link.stopping

    def sleep(self, seconds: float) -> bool:
        """Waits, but no longer than adrt wants this agent to live; returns `stopping`."""
        end = time.monotonic() + seconds
        while not self._link.stopping:
            left = end - time.monotonic()
            if left <= 0:
                break
            self._core.idle(left)
            self.environment.tell()
        self._heed()
        self._link.raise_if_lost()
        return self._link.stopping

    def heartbeat(
        self, status: str | None = None, *, done: int | None = None, total: int | None = None
    ) -> None:
        """Says that it is alive, and how far it has come. Doesn't wait.

        Under `--hang-timeout` that is said by itself only while the program
        waits in a call of this one (`sleep`, `events`, a review), or looks at
        `state` or `stopping`. A long computation in between has to say it.
        """
        self._tell(_requests.heartbeat(status, done, total))

    def log(self, message: str, *, level: str = "info", **fields: Any) -> None:
        """A line of adrt's log, with a level and fields. Doesn't wait."""
        self._tell(_requests.log(level, message, fields))

    def finish(self, result: Any = None) -> None:
        """Says that the work is done for good: after this process adrt starts no other."""
        self._core_call(_requests.finish(result))

    def stop(self) -> None:
        """Lets go of adrt. Doesn't say that the work is done; see `finish`."""
        if self._stopped:
            return
        self._stopped = True
        self._flush()
        atexit.unregister(self._flush)
        self._metrics.end()
        self._link.release()
        self._core.transport.let_go()

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def retry(
        self,
        fn: Callable[[], T],
        fallback: Callable[[], T] | None = None,
        *,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    ) -> T:
        """Calls `fn` until it works, `retry_policy.max_retries` times at most.

        After the last failure `fallback` gives the result; without one, the
        exception is raised.
        """
        for delay in self.retry_policy.delays():
            try:
                return fn()
            except retry_on:
                if delay is None and fallback is None:
                    raise
            if delay is not None:
                self.sleep(delay)
        assert fallback is not None
        return fallback()

    # ---------------------------------------------------------- drivers

    def _change(self, request: Request) -> int:
        if self._link.gathered(request):
            return self._link.mirror.version
        version: int = self._call(request)["version"]
        return version

    def _call(self, request: Request) -> Any:
        result = self._core_call(request)
        self._heed()
        return result

    def _core_call(self, request: Request) -> Any:
        patience = Patience(self.store_timeout)
        while True:
            try:
                call = self._answered(request)
            except Disconnected:  # it was so before
                self._heed()
                raise
            if call.error is None:
                return call.result
            self._heed()  # rather than raise what the end of adrt causes
            delay = patience.delay(call.error)
            if delay is None or self._link.stopping:
                raise call.error
            self.sleep(delay)
            request = again(request)

    def _answered(self, request: Request) -> Any:
        at_home = _thread.get_ident() == self._home
        self._busy += at_home
        try:
            call = self._core.send(request)
            self._core.push()
            self._core.wait(call)
        finally:
            self._busy -= at_home
            if self._leaving and not self._busy and at_home:
                raise SystemExit(EXIT_CODE)
        return call

    def _run(self, flow: Flow) -> Any:
        """Carries out the requests of a flow, one after the other."""
        try:
            request = next(flow)
            while True:
                try:
                    result = self._call(request)
                except Exception as error:
                    request = flow.throw(error)
                else:
                    request = flow.send(result)
        except StopIteration as stop:
            return stop.value

    def _tell(self, request: Request) -> None:
        self._core.notify(request)
        self._core.push()

    # -------------------------------------------------------------- end

    def _heed(self) -> None:
        """At the end of a call: passes on what adrt has told, its wanting an end above all."""
        self.environment.tell()
        if not self._link.stopping or self._busy or _thread.get_ident() != self._home:
            return
        if self._on_stop is not None:
            on_stop, self._on_stop = self._on_stop, None
            on_stop()
        if self._link.ends_program and not (self._ends_itself or self._iterates):
            self._link.say_if_lost()
            raise SystemExit(EXIT_CODE)

    def _terminated(self) -> None:
        """SIGTERM, on the main thread, between any two steps of the program."""
        again, self._leaving = self._leaving, True
        self._link.stopping = True
        if self._busy and not again:
            return  # `_answered` leaves, once it has its answer
        if not self._busy:
            try:
                self._core.settle(_link.SETTLE_SECONDS)
            except RuntimeError:
                pass  # it interrupted a notification; those are no promise
        raise SystemExit(EXIT_CODE)

    def _flush(self) -> None:
        if self._core.closed is None:
            self._core.push(_link.SETTLE_SECONDS)
