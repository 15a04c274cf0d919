"""The asynchronous client.

    import asyncio
    from adaptive_runtime import Runtime

    async def main():
        async with Runtime("my-agent") as runtime:
            n = runtime.state.get("n", 0)
            await runtime.patch({"n": n + 1})   # returns once it is on the disk

    asyncio.run(main())

Belongs to the loop it was started on. Requests of one turn of the loop leave
in one write, and the answers of one read are given out together: what is not
awaited one by one costs little (`patch_nowait`, `asyncio.gather`).

Requests are applied in the order in which they were made, with one exception:
where several are under way and the disk refuses one of them for a while, it
is asked for again when those after it may have been applied.
"""

from __future__ import annotations

import asyncio
import atexit

from . import _event_requests, _link, _requests, _schema
from ._driver import Driver, itself
from ._engines import RecoveryEngine, StateEngine
from ._errors import NotConnected
from ._results import Checkpoint
from ._runtime_engines import RuntimeEngines
from ._stop import EXIT_CODE, Terminator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import Any, NoReturn, TypeVar, Union

    from ._link import Backend, Link
    from ._requests import Request
    from ._results import StartInfo
    from ._state import StateDict

    T = TypeVar("T")


class Runtime(RuntimeEngines):
    """This process as adrt's agent: its state, and what it can ask for."""

    def __init__(
        self,
        agent_id: str | None = None,
        checkpoint_every: int | None = None,
        *,
        schema: int | None = None,
        migrations: Mapping[int, _schema.Migration] | None = None,
        store_timeout: float = _link.STORE_TIMEOUT,
        on_stop: Callable[[], None] | None = None,
        types: Sequence[str] | None = None,
        credit: int | None = None,
        backend: Backend = None,
    ) -> None:
        """Nothing happens before `start`.

        `on_stop` is called, once, when adrt wants this agent to end; the
        program then ends by itself. Under adrt its name is adrt's, and
        `agent_id` only says what it should be. With `credit` events are asked
        for in `start`, and the first are here when `events()` is iterated.
        """
        self.agent_id = agent_id
        self.store_timeout = store_timeout
        self.state_engine = StateEngine(self)
        self.recovery_engine = RecoveryEngine(self)
        self._checkpoint_every = checkpoint_every
        self._schema = schema
        self._migrations = migrations
        self._backend = backend
        self._on_stop = on_stop
        self._ends_itself = on_stop is not None
        self._stopping: asyncio.Event | None = None
        self._driver_or_none: Driver | None = None
        self._leaving = False
        self._events = None if credit is None else _event_requests.subscription(credit, types)
        self._set_up_events()
        self._set_up_engines()

    async def start(self) -> None:
        """Connects, brings the state to `schema`, and says it is ready."""
        if self._driver_or_none is not None:
            return
        link = _link.connect(self._backend, self.agent_id)
        driver = Driver(link, self.store_timeout)
        self._driver_or_none = driver
        self._stopping = asyncio.Event()
        link.on_stopping = self._told_to_stop
        try:
            if link.info is None:
                hello = link.hello(
                    self.agent_id, self._checkpoint_every, self._schema, self._events
                )
                link.welcome(*await driver.handshake(hello))
            driver.beat()
            if link.core.transport.supervised:  # else SIGTERM is none of our business
                link.terminator = Terminator(self._terminated)
                link.terminator.install()
            await driver.run(link.begin(self._schema, self._migrations, self._events))
            self._metrics.begin(link)
            self.environment.watch()
            link.core.notify(_requests.ready())
            atexit.register(driver.flush)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Waits for what is under way, handlers of the bus too, and lets go of adrt.

        Doesn't say that the work is done; see `finish`.
        """
        driver = self._driver_or_none
        if driver is None:
            return
        await self.bus.drain()
        await driver.settled()
        driver.flush()
        self._driver_or_none = None
        driver.detach()
        atexit.unregister(driver.flush)
        self._metrics.end()
        driver.link.release()
        await driver.let_go()

    async def __aenter__(self) -> Runtime:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def _driver(self) -> Driver:
        if self._driver_or_none is None:
            raise NotConnected("this Runtime is not started: await runtime.start() comes first")
        return self._driver_or_none

    @property
    def _link(self) -> Link:
        return self._driver.link

    # ------------------------------------------------------------ state

    @property
    def state(self) -> StateDict:
        """The state, read-only and live: what adrt has acknowledged so far.

        Within an event's block: with the changes made in it.
        """
        return self._link.view()

    @property
    def version(self) -> int:
        """The version of `state`."""
        return self._link.mirror.version

    @property
    def start_info(self) -> StartInfo:
        """How this incarnation came to be."""
        info = self._link.info
        assert info is not None  # start() would have raised
        return info

    async def patch(
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
        return await self._change(_requests.patch(patch, format, if_version, key))

    def patch_nowait(
        self,
        patch: Any,
        *,
        format: str = "merge",
        if_version: int | None = None,
        key: str | None = None,
    ) -> asyncio.Future[int]:
        """The same, asked for at once; the future is done when it is on the disk.

        Doesn't wait for the end of an event's block either: it is no part of it.
        """
        return self._driver.submit(_requests.patch(patch, format, if_version, key), _version)

    async def append(self, path: str, value: Any, *, key: str | None = None) -> int:
        """Adds to the end of the list at `path` ("items" or "/a/items"), begun if absent."""
        version: int = await self._driver.run(self._link.append(path, value, key))
        return version

    async def delete(
        self, path: str, *, if_version: int | None = None, key: str | None = None
    ) -> int:
        """Removes what is at `path`; `PatchFailed` if nothing is."""
        return await self._change(_requests.delete(_requests.pointer(path), if_version, key))

    async def replace(
        self, state: dict[str, Any], *, if_version: int | None = None, key: str | None = None
    ) -> int:
        """Puts a whole new state in the place of the old."""
        kept = _schema.keep(state, self._schema)
        return await self._change(_requests.replace(kept, if_version, key))

    async def _change(self, request: Request) -> int:
        if self._link.gathered(request):
            return self._link.mirror.version
        return await self._driver.submit(request, _version)

    async def copy_of_state(self) -> dict[str, Any]:
        """The state as a dict of your own, with all that was asked for before this."""
        await self._driver.settled()
        await self._driver.run(self._link.refresh())
        return self.state.copy()

    # ------------------------------------------------------ checkpoints

    async def checkpoint(self, label: str | None = None) -> Checkpoint:
        """Keeps the state as it is now, to come back to. With a label, for good."""
        taken = await self._driver.submit(_requests.checkpoint(label), Checkpoint)
        self._metrics.checkpoints += 1
        return taken

    async def checkpoint_of(self, state: dict[str, Any], label: str | None = None) -> Checkpoint:
        """Saves these top-level members and keeps the state; both or neither."""
        taken = Checkpoint(await self._driver.run(self._link.checkpoint_of(state, label)))
        self._metrics.checkpoints += 1
        return taken

    async def checkpoints(self, limit: int | None = None) -> list[Checkpoint]:
        """What can be gone back to, newest first."""
        listed = await self._driver.submit(_requests.checkpoints(limit), itself)
        return [Checkpoint(members) for members in listed["checkpoints"]]

    async def restore(self, checkpoint_id: int) -> int:
        """Goes back to a checkpoint: a new version with its content."""
        version: int = await self._driver.run(self._link.restore(checkpoint_id))
        return version

    async def recover(self) -> dict[str, Any]:
        """The newest state on the disk. Never goes back; that is `restore`."""
        return await self.copy_of_state()

    # ------------------------------------------------------------- life

    @property
    def stopping(self) -> asyncio.Event:
        """Set when adrt wants this agent to end. Whoever asks, ends it by themselves."""
        self._ends_itself = True
        if self._stopping is None:
            raise NotConnected("this Runtime is not started: await runtime.start() comes first")
        return self._stopping

    def heartbeat(
        self, status: str | None = None, *, done: int | None = None, total: int | None = None
    ) -> None:
        """Says that it is alive, and how far it has come. Doesn't wait.

        Under `--hang-timeout` the loop says so by itself, as long as it goes
        round: what blocks it for long belongs into a thread.
        """
        self._link.core.notify(_requests.heartbeat(status, done, total))

    def log(self, message: str, *, level: str = "info", **fields: Any) -> None:
        """A line of adrt's log, with a level and fields. Doesn't wait."""
        self._link.core.notify(_requests.log(level, message, fields))

    async def finish(self, result: Any = None) -> None:
        """Says that the work is done for good: after this process adrt starts no other."""
        await self._driver.submit(_requests.finish(result), itself)

    async def retry(
        self,
        fn: Callable[[], Union[T, Awaitable[T]]],
        fallback: Callable[[], Union[T, Awaitable[T]]] | None = None,
        *,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    ) -> T:
        """`recovery_engine.retry`."""
        return await self.recovery_engine.retry(fn, fallback, retry_on=retry_on)

    # -------------------------------------------------------------- end

    def _told_to_stop(self) -> None:
        driver = self._driver
        driver.wake()
        if self._stopping is not None:
            self._stopping.set()
        if self._on_stop is not None:
            on_stop, self._on_stop = self._on_stop, None
            driver.loop.call_soon(on_stop)
        if driver.link.ends_program and not self._ends_by_itself:
            self._leave()

    @property
    def _ends_by_itself(self) -> bool:
        return self._ends_itself or self._iterates

    def _terminated(self) -> None:
        """SIGTERM, on the main thread, between any two steps of the program."""
        driver = self._driver_or_none
        if driver is None or self._leaving or not driver.loop.is_running():
            raise SystemExit(EXIT_CODE)
        driver.loop.call_soon_threadsafe(self._term_in_loop)

    def _term_in_loop(self) -> None:
        if self._driver_or_none is None or self._stopping is None:
            _exit()
        self._driver.core.pump()  # a `shutdown` from before it may not have been read yet
        told, self._link.stopping = self._link.stopping, True
        self._stopping.set()
        self._driver.wake()
        # One that goes over events ends by itself if it can: between two of
        # them. Told before, it has had its time: what it is at is cancelled.
        if not self._ends_itself and (told or not self._iterates):
            self._leave()
        self._leaving = True  # a second signal ends it at once

    def _leave(self) -> None:
        """Ends the process, once what is under way is acknowledged."""
        if self._leaving:
            return
        self._leaving = True
        driver = self._driver
        if driver.core.closed is not None:
            driver.link.say_if_lost()
            driver.loop.call_soon(_exit)
        else:
            driver.spawn(self._settle_and_exit(driver))

    async def _settle_and_exit(self, driver: Driver) -> None:
        try:
            await asyncio.wait_for(driver.answered(), _link.SETTLE_SECONDS)
        except asyncio.TimeoutError:
            pass
        # From a callback: asyncio hands a SystemExit of one on to the caller of
        # run(), which cancels all tasks, so that their `finally` blocks run.
        driver.loop.call_soon(_exit)


def _exit() -> NoReturn:
    raise SystemExit(EXIT_CODE)


def _version(result: dict[str, Any]) -> int:
    version: int = result["version"]
    return version
