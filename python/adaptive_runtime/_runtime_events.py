"""Events, steps, timers and kept values on the asynchronous client.

`Runtime` is made of this and of what is in `runtime`; the names are those of
`_agent_events`, and what they do is told there.
"""

from __future__ import annotations

import asyncio
import inspect

from . import _event_requests, _kv
from ._bus_async import AsyncBus
from ._errors import StepFailed
from ._event_async import AsyncEvent
from ._results import Emitted, History
from ._steps import STEP_OPTIONS, StepCall, numbers_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime
    from typing import Any, TypeVar

    from ._driver import Driver
    from ._event_requests import Seconds
    from ._link import Link
    from ._requests import Request
    from ._steps import Numbers

    F = TypeVar("F", bound=Callable[..., Any])


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
            if delivery is not None and link.inbox.tells_nothing_new(delivery):
                await runtime._answer(_event_requests.ack_of(delivery))
                continue
            if delivery is not None:
                return AsyncEvent(runtime, delivery)  # type: ignore[arg-type]
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
