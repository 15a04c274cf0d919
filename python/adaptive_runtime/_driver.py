"""Requests and replies on an asyncio loop.

One write for all requests of a turn of the loop, and all answers of a read
given out in one turn. Nothing here blocks: what the pipe doesn't take is
written when it does.
"""

from __future__ import annotations

import asyncio

from . import _link
from ._patience import Patience, again

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    from ._core import Call
    from ._link import Flow, Link
    from ._requests import Request
    from ._wire import Awaited

    T = TypeVar("T")


class Driver:
    """A link on a loop."""

    def __init__(self, link: Link, store_timeout: float) -> None:
        self.link = link
        self.core = link.core
        self.loop = asyncio.get_running_loop()
        self._store_timeout = store_timeout
        self._flush_due = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._open = True
        self._waiters: set[asyncio.Future[None]] = set()
        self.core.on_outgoing = self._outgoing
        link.inbox.on_delivery = link.on_news = self.wake
        transport: Any = self.core.transport
        # Where there is no descriptor to watch, what tells of news instead.
        self._memory: Any = transport if transport.read_fd < 0 else None
        self._alarm: asyncio.TimerHandle | None = None
        self._beat: asyncio.TimerHandle | None = None
        if self._memory is None:
            self.loop.add_reader(transport.read_fd, self._readable)
        else:
            self._memory.on_wake = self._woken

    def detach(self) -> None:
        """Leaves the loop."""
        self._open = False
        if self._beat is not None:
            self._beat.cancel()
        self.core.on_outgoing = None
        self.wake()
        if self._memory is not None:
            self._memory.on_wake = None
            if self._alarm is not None:
                self._alarm.cancel()
        else:
            self.loop.remove_reader(self.core.transport.read_fd)
            self.loop.remove_writer(self.core.transport.write_fd)

    async def let_go(self) -> None:
        """Has the other side end, if it is ours; that takes as long as its disk does."""
        if self.core.transport.owned:
            await self.loop.run_in_executor(None, self.core.transport.let_go)

    def beat(self) -> None:
        """Says that the loop goes round, from now on, as often as adrt wants to hear it."""
        seconds = self.core.pulse.seconds
        if seconds is not None and self._open and self.core.closed is None:
            self.core.pulse.beat()
            self._beat = self.loop.call_later(seconds, self.beat)

    # --------------------------------------------------------- asking

    def ask(self, request: Request) -> tuple[Call, asyncio.Future[None]]:
        """Sends a request; the future is done when it is answered, whatever the answer."""
        future: asyncio.Future[None] = self.loop.create_future()

        def answered(_call: Call) -> None:
            if not future.done():
                future.set_result(None)

        return self.core.send(request, answered), future

    async def handshake(self, hello: Request) -> tuple[Call, Call | None]:
        """`initialize`, and once more if it isn't heard."""
        first, answer = self.ask(hello)
        await asyncio.wait({answer}, timeout=_link.HANDSHAKE_AGAIN_SECONDS)
        if answer.done():
            return first, None
        self.core.put_newline()
        second, answer = self.ask(hello)
        await answer
        return first, second

    def submit(self, request: Request, pick: Callable[[Any], T]) -> asyncio.Future[T]:
        """Sends a request; the future gets what `pick` makes of its result."""
        future: asyncio.Future[T] = self.loop.create_future()

        def answered(call: Call) -> None:
            if future.done():
                return  # nobody waits any more
            if call.error is None:
                future.set_result(pick(call.result))
                return
            patience = Patience(self._store_timeout)
            delay = patience.delay(call.error)
            if delay is None or not self._open:
                future.set_exception(call.error)
            else:
                self.spawn(self._insist(request, patience, delay, future, pick))

        self.core.send(request, answered)
        return future

    async def _insist(
        self,
        request: Request,
        patience: Patience,
        delay: float | None,
        future: asyncio.Future[T],
        pick: Callable[[Any], T],
    ) -> None:
        """Asks again, until the disk takes it or patience ends."""
        request = again(request)
        error: BaseException | None = None
        while delay is not None:
            await asyncio.sleep(delay)
            try:
                call, answer = self.ask(request)
                await answer
                error = call.error
            except Exception as not_sent:
                error = not_sent
            if future.done():
                return
            if error is None:
                future.set_result(pick(call.result))
                return
            delay = patience.delay(error)
        if error is not None:
            future.set_exception(error)

    async def run(self, flow: Flow) -> Any:
        """Carries out the requests of a flow, one after the other."""
        try:
            request = next(flow)
            while True:
                try:
                    result = await self.submit(request, itself)
                except Exception as error:
                    request = flow.throw(error)
                else:
                    request = flow.send(result)
        except StopIteration as stop:
            return stop.value

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Runs something beside the program."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)  # the loop alone would let it be collected
        task.add_done_callback(self._tasks.discard)

    # -------------------------------------------------------- waiting

    async def settled(self) -> None:
        """Waits for everything that is under way, repeats included."""
        while self.core.waiting or self._tasks:
            if not await self.answered():
                await asyncio.wait(set(self._tasks))

    async def answered(self) -> bool:
        """Waits for the answers to all that has been asked; False if there was nothing."""
        last = self.core.newest
        if last is None:
            return False
        done: asyncio.Future[None] = self.loop.create_future()
        before = last.on_done

        def also(call: Call) -> None:
            if before is not None:
                before(call)
            if not done.done():
                done.set_result(None)

        last.on_done = also
        await done
        return True

    async def event_or_end(self) -> None:
        """Waits until something is to be seen to: an event, or the end."""
        self.core.transport.expect_events()
        await self._news(None)

    async def until(self, awaited: Awaited, seconds: float | None = None) -> bool:
        """Waits for what others do; False if it isn't done in time, or this is detached."""
        end = None if seconds is None else self.loop.time() + seconds
        self.core.transport.await_others(1)
        try:
            while not awaited.done and self._open:
                left = None if end is None else end - self.loop.time()
                if left is not None and left <= 0:
                    break
                await self._news(left)
        finally:
            self.core.transport.await_others(-1)
        return awaited.done

    async def _news(self, seconds: float | None) -> None:
        waiter = self.loop.create_future()
        self._waiters.add(waiter)
        try:
            self._outgoing()  # in memory, that may have brought something
            if seconds is None:
                await waiter
            else:
                await asyncio.wait({waiter}, timeout=seconds)
        finally:
            self._waiters.discard(waiter)

    def wake(self) -> None:
        """Has all who wait for something look again; one that finds nothing waits on."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    # ------------------------------------------------------- the loop

    def _outgoing(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if not self._open:
            return
        done = self.core.write_some()
        fd = self.core.transport.write_fd
        if self._memory is not None:
            self.core.pump()
            self._set_alarm(self._memory.seconds_to_wait())
        elif done:
            self.loop.remove_writer(fd)
        else:
            self.loop.add_writer(fd, self._flush)

    def _set_alarm(self, seconds: float | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None if seconds is None else self.loop.call_later(seconds, self._outgoing)

    def _woken(self) -> None:
        """In memory something has happened, in whatever thread."""
        try:
            self.loop.call_soon_threadsafe(self._outgoing)
        except RuntimeError:
            pass  # the loop is closed; nobody waits

    def _readable(self) -> None:
        self.core.pump()
        if self.core.closed is not None:
            self.loop.remove_reader(self.core.transport.read_fd)

    def flush(self) -> None:
        """Writes out what is left, off the loop; waits for adrt, but not for ever."""
        if self.core.closed is None:
            self.core.push(_link.SETTLE_SECONDS)


def itself(result: Any) -> Any:
    """The result as it came."""
    return result
