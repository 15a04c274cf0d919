"""Events, steps, timers and kept values on the asynchronous client.

`Runtime` is made of this and of what is in `runtime`; the names are those of
`_agent_events`, and what they do is told there.
"""

from __future__ import annotations

import asyncio
import inspect

from . import _event_requests, _kv, _requests
from ._bus_async import AsyncBus
from ._errors import AdrtError, StaleAttempt, StepFailed, StepInReview
from ._events import LEFT_TO_THE_PROGRAM, HeldEvent
from ._results import Emitted, History
from ._steps import STEP_OPTIONS, StepCall, numbers_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Any, TypeVar

    from ._driver import Driver
    from ._event_requests import Checkpoint, Seconds
    from ._events import Kind
    from ._link import Link
    from ._requests import Request
    from ._steps import Numbers

    F = TypeVar("F", bound=Callable[..., Any])


class AsyncEvent(HeldEvent):
    """An event, handed out to this process: a read-only dict, and what to do with it.

    `async with event:` is all that most programs need. The changes of the
    state made inside, the events emitted and the values kept go with its ack,
    all in one transaction; an exception drops them and gives the event back,
    with its text, to be tried again later. One that is cancelled, or exits,
    leaves the event as it is: it comes again in the next incarnation.
    """

    __slots__ = ("_runtime",)

    def __init__(self, runtime: RuntimeEvents, delivery: dict[str, Any]) -> None:
        super().__init__(delivery, runtime._link)
        self._runtime = runtime

    async def __aenter__(self) -> AsyncEvent:
        self._begin()
        return self

    async def __aexit__(
        self, kind: Kind | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._end()
        if kind is None or error is None:
            if not self._settled:
                await self._finish()
            elif self._settled == "acked":
                self._runtime.bus.publish_nowait(self)
            return False
        if self._settled or not isinstance(error, Exception):
            return False
        return await self._give_back(kind, error, trace)

    async def _finish(self) -> None:
        try:
            await self.ack()
        except StaleAttempt as error:
            self._lost(error)
        except LEFT_TO_THE_PROGRAM:
            raise
        except AdrtError as error:  # the changes are refused: another attempt, or the dead letters
            await self._give_back(type(error), error, error.__traceback__)

    async def _give_back(self, kind: Kind, error: Exception, trace: TracebackType | None) -> bool:
        if isinstance(error, LEFT_TO_THE_PROGRAM):
            return False
        try:
            if isinstance(error, StepInReview):
                await self.park(review=error.review_id)
            else:
                await self.nack(self._failed(kind, error, trace))
        except StaleAttempt as lost:
            self._lost(lost)
        return True

    # -------------------------------------------------------- settling

    async def ack(
        self, patch: Any = None, *, format: str = "merge", checkpoint: Checkpoint = None
    ) -> int:
        """Says that it is done, together with all that was gathered; the state's version.

        `checkpoint=True`, or a label, keeps the state as it is after this.
        """
        if patch is not None:
            await self.patch(patch, format=format)
        request = self._ack_request(checkpoint)
        await self._settled_by("acked", request)
        if not self._inside:
            self._runtime.bus.publish_nowait(self)
        assert self.version is not None
        return self.version

    async def nack(
        self, reason: str | None = None, *, delay: Seconds | None = None, dead: bool = False
    ) -> None:
        """Gives it back: after `delay` (or adrt's own back-off) it comes again.

        With `dead` it doesn't: it goes to the dead letters.
        """
        request = _event_requests.nack(self.seq, self.attempt, reason, delay, dead)
        await self._settled_by("nacked", request)

    async def park(
        self,
        *,
        review: int | None = None,
        event_type: str | None = None,
        after: Seconds | None = None,
    ) -> None:
        """Puts it aside until a review is settled, such an event comes, or time has passed.

        Then it comes again, from the start; its steps are remembered.
        """
        until = _event_requests.until(review, event_type, after)
        request = _event_requests.park(self.seq, self.attempt, until)
        await self._settled_by("parked", request)

    async def extend(self) -> int | None:
        """Asks for more time; the new lease in milliseconds, None where there are none."""
        request = _event_requests.extend(self.seq, self.attempt)
        self.lease_ms = (await self._runtime._answer(request))["lease_ms"]
        return self.lease_ms

    async def _settled_by(self, how: str, request: Request) -> None:
        self._settle(how)
        try:
            result = await self._runtime._answer(request)
        except AdrtError:
            self._not_settled()
            raise
        if how == "acked":
            self._acked(result)

    # ------------------------------------------------- what goes along

    async def patch(self, patch: Any, *, format: str = "merge") -> None:
        """Changes members of the state, with the ack of this event."""
        self._gathering.add(_requests.patch(patch, format))

    async def emit(
        self, event: Any, *, to: str | None = None, delay: Seconds | None = None
    ) -> None:
        """Emits an event, with the ack of this one."""
        self._gathering.add(_event_requests.emit(event, to, delay))

    def step(
        self, name: str, fn: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Awaitable[Any]:
        """`Runtime.step`, of this event."""
        return self._runtime._take_step(self._numbers, name, fn, args, kwargs)


class Events:
    """What `async for` goes over: events as they come, until adrt wants an end."""

    def __init__(
        self, runtime: RuntimeEvents, types: Sequence[str] | None, credit: int | None
    ) -> None:
        self._runtime = runtime
        self._wanted = (types, credit)
        self._subscribed = False

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> AsyncEvent:
        runtime = self._runtime
        link = runtime._link
        if not self._subscribed:
            self._subscribed = True
            request = link.inbox.wanted(*self._wanted)
            if request is not None:
                await runtime._answer(request)
        while not link.stopping:
            delivery = link.inbox.take()
            if delivery is not None:
                return AsyncEvent(runtime, delivery)
            if runtime._driver_or_none is None:  # stopped meanwhile, elsewhere
                break
            await runtime._driver.event_or_end()
        link.say_if_lost()
        raise StopAsyncIteration


class RuntimeEvents:
    """The part of `Runtime` that is told about here."""

    bus: AsyncBus
    """Handlers by type of event, in this process. Run after an event's ack."""
    kv: _kv.AsyncKv
    """Values by key, on the disk, apart from the state."""
    _iterates: bool
    _scopes: dict[str, Numbers]

    if TYPE_CHECKING:  # what `runtime` has for it
        _driver_or_none: Driver | None

        @property
        def _driver(self) -> Driver: ...
        @property
        def _link(self) -> Link: ...

    def _set_up_events(self) -> None:
        self.bus = AsyncBus()
        self.kv = _kv.AsyncKv(self)
        self._iterates = False
        self._scopes = {}

    def _answer(self, request: Request) -> asyncio.Future[Any]:
        return self._driver.submit(request, _itself)

    # ----------------------------------------------------------- events

    def events(self, types: Sequence[str] | None = None, *, credit: int | None = None) -> Events:
        """The events of this agent, as they come; ends when adrt wants the agent to end.

            async for event in runtime.events():
                async with event:
                    …

        `types` are globs ("temp.*"); others wait. `credit` is how many are
        handed out before one of them is settled, 1 unless said: with more,
        give each event to a task, or iterate in several.
        """
        self._iterates = True
        return Events(self, types, credit)

    async def emit(
        self,
        event: Any,
        *,
        to: str | None = None,
        delay: Seconds | None = None,
        key: str | None = None,
    ) -> Emitted:
        """Puts an event (a dict with a "type") into the inbox, or into that of agent `to`.

        One with the "source" and "id" of another is dropped.
        """
        return Emitted(await self._with_event(_event_requests.emit(event, to, delay, key)))

    async def event_history(
        self, limit: int | None = None, *, after: int | None = None, type: str | None = None
    ) -> History:
        """Events of the past, newest first."""
        return History(await self._answer(_event_requests.history(limit, after, type)))

    # ------------------------------------------------------------ steps

    def step(
        self,
        name: str,
        fn: Callable[..., Any],
        *args: Any,
        scope: str | None = None,
        **kwargs: Any,
    ) -> Awaitable[Any]:
        """`fn(*args, **kwargs)`, awaited if need be, unless it has been done before.

        Then it is the result of then. Belongs to the event in whose block it
        is called, or to `scope`. An exception leaves it open, to be run again
        by the next attempt; only `raise StepFailed(…)` is remembered. Of `fn`'s
        own arguments none can be called as these: `input=` is what the step
        is recognised by, where the arguments don't say it; `encode=` and
        `decode=` make JSON of the result and back; `on_unknown="review"` has
        a person decide about a step that began and never ended, instead of
        running it again.
        """
        numbers = numbers_for(self._link, self._scopes, scope)
        return self._take_step(numbers, name, fn, args, kwargs)

    def durable_step(
        self, name: str | None = None, *, scope: str | None = None, **options: Any
    ) -> Callable[[F], F]:
        """Makes each call of a function a step, named after it unless `name` is given."""

        def decorate(fn: F) -> F:
            async def durable(*args: Any, **kwargs: Any) -> Any:
                return await self.step(
                    name or fn.__name__, fn, *args, scope=scope, **options, **kwargs
                )

            durable.__wrapped__ = fn  # type: ignore[attr-defined]
            durable.__name__, durable.__doc__ = fn.__name__, fn.__doc__
            return durable  # type: ignore[return-value]

        return decorate

    async def forget_steps(self, scope: str) -> None:
        """The scope is done with: its steps, when called again, are run again."""
        await self._answer(_event_requests.step_forget(scope))
        self._scopes.pop(scope, None)

    def _take_step(
        self,
        numbers: Numbers,
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Awaitable[Any]:
        # Numbered here and now: the order of the calls counts, not of the awaits.
        options = {key: kwargs.pop(key) for key in STEP_OPTIONS if key in kwargs}
        return self._carry_out(StepCall(numbers, name, fn, args, kwargs, **options))

    async def _carry_out(self, call: StepCall) -> Any:
        driver = self._driver
        await driver.run(call.begin())
        if call.known:
            return call.value
        try:
            result = call.run()
            if inspect.isawaitable(result):
                result = await call.awaited(result)
        except StepFailed as failure:
            await driver.run(call.fail(failure))
            raise
        except BaseException:
            call.leave_open()
            raise
        return await driver.run(call.keep(result, driver.core.max_frame))

    # ----------------------------------------------------------- timers

    async def timer(
        self,
        id: str,
        *,
        event: Any,
        after: Seconds | None = None,
        at: datetime | str | None = None,
        every: Seconds | None = None,
        cron: str | None = None,
        key: str | None = None,
    ) -> str | None:
        """Emits `event` at a time to come, or again and again; when first.

        One of: `after` and `every` in seconds (or a timedelta), `at` a
        datetime or RFC 3339 text, `cron` five fields. Setting a timer of this
        `id` again replaces it. What was missed comes once, with `missed`.
        Within an event's block it is set with the ack, and None comes back.
        """
        request = _event_requests.timer(id, event, after, at, every, cron, key)
        due: str | None = (await self._with_event(request)).get("due")
        return due

    async def cancel_timer(self, id: str, *, key: str | None = None) -> bool | None:
        """Takes a timer back; whether there was one, None within an event's block."""
        request = _event_requests.cancel_timer(id, key)
        existed: bool | None = (await self._with_event(request)).get("existed")
        return existed

    async def _with_event(self, request: Request) -> Any:
        """What it answers, or {} where it goes with the ack of an event."""
        return {} if self._link.gathered(request) else await self._answer(request)


def _itself(result: Any) -> Any:
    return result
