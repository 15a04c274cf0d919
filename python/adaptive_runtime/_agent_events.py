"""Events, steps, timers and kept values on the synchronous client.

`Agent` is made of this and of what is in `agent`; the asynchronous twin is
`_runtime_events`.
"""

from __future__ import annotations

from . import _event_requests, _kv
from ._bus import Bus
from ._errors import StepFailed
from ._event import Event
from ._results import Emitted, History
from ._steps import STEP_OPTIONS, StepCall, numbers_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from typing import Any, TypeVar

    from ._core import Core
    from ._event_requests import Seconds
    from ._link import Flow, Link
    from ._requests import Request
    from ._steps import Numbers

    F = TypeVar("F", bound=Callable[..., Any])


class AgentEvents:
    """The part of `Agent` that is told about here."""

    bus: Bus
    """Handlers by type of event, in this process. Run after an event's ack."""
    kv: _kv.Kv
    """Values by key, on the disk, apart from the state."""
    _core: Core
    _link: Link
    _iterates: bool
    _scopes: dict[str, Numbers]

    # What `agent` has for it.
    _call: Callable[[Request], Any]
    _run: Callable[[Flow], Any]
    _heed: Callable[[], None]

    def _set_up_events(self) -> None:
        self.bus = Bus()
        self._iterates = False
        self.kv = _kv.Kv(self)
        self._scopes = {}

    # ----------------------------------------------------------- events

    def events(
        self, types: Sequence[str] | None = None, *, credit: int | None = None
    ) -> Iterator[Event]:
        """The events of this agent, as they come; ends when adrt wants the agent to end.

            for event in agent.events():
                with event:
                    …

        `types` are globs ("temp.*"); others wait. Several threads may iterate
        at once; `credit` is how many events are handed out before one of them
        is settled, 1 unless said.
        """
        self._iterates = True
        request = self._link.inbox.wanted(types, credit)
        if request is not None:
            self._call(request)
        return self._deliveries()

    def _deliveries(self) -> Iterator[Event]:
        link = self._link
        while not link.stopping:
            delivery = link.inbox.take()
            if delivery is not None and link.inbox.tells_nothing_new(delivery):
                self._call(_event_requests.ack_of(delivery))
                continue
            if delivery is not None:
                yield Event(self, delivery)  # type: ignore[arg-type]
                continue
            self._core.transport.expect_events()
            self._core.wait(link.inbox)
            self._heed()
        link.say_if_lost()
        self._heed()

    def emit(
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
        return Emitted(self._with_event(_event_requests.emit(event, to, delay, key)))

    def event_history(
        self, limit: int | None = None, *, after: int | None = None, type: str | None = None
    ) -> History:
        """Events of the past, newest first."""
        return History(self._call(_event_requests.history(limit, after, type)))

    # ------------------------------------------------------------ steps

    def step(
        self,
        name: str,
        fn: Callable[..., Any],
        *args: Any,
        scope: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """`fn(*args, **kwargs)`, unless it has been done before: then its result of then.

        Belongs to the event in whose block it is called, or to `scope`. An
        exception leaves it open, to be run again by the next attempt; only
        `raise StepFailed(…)` is remembered. Of `fn`'s own arguments none can
        be called as these: `input=` is what the step is recognised by, where
        the arguments don't say it; `encode=` and `decode=` make JSON of the
        result and back; `on_unknown="review"` has a person decide about a
        step that began and never ended, instead of running it again.
        """
        numbers = numbers_for(self._link, self._scopes, scope)
        return self._take_step(numbers, name, fn, args, kwargs)

    def durable_step(
        self, name: str | None = None, *, scope: str | None = None, **options: Any
    ) -> Callable[[F], F]:
        """Makes each call of a function a step, named after it unless `name` is given."""

        def decorate(fn: F) -> F:
            def durable(*args: Any, **kwargs: Any) -> Any:
                return self.step(
                    name or fn.__name__, fn, *args, scope=scope, **options, **kwargs
                )

            durable.__wrapped__ = fn  # type: ignore[attr-defined]
            durable.__name__, durable.__doc__ = fn.__name__, fn.__doc__
            return durable  # type: ignore[return-value]

        return decorate

    def forget_steps(self, scope: str) -> None:
        """The scope is done with: its steps, when called again, are run again."""
        self._call(_event_requests.step_forget(scope))
        self._scopes.pop(scope, None)

    def _take_step(
        self,
        numbers: Numbers,
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        options = {key: kwargs.pop(key) for key in STEP_OPTIONS if key in kwargs}
        call = StepCall(numbers, name, fn, args, kwargs, **options)
        self._run(call.begin())
        if call.known:
            return call.value
        try:
            result = call.run()
        except StepFailed as failure:
            self._run(call.fail(failure))
            raise
        except BaseException:
            call.leave_open()
            raise
        return self._run(call.keep(result, self._core.max_frame))

    # ----------------------------------------------------------- timers

    def timer(
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
        due: str | None = self._with_event(request).get("due")
        return due

    def cancel_timer(self, id: str, *, key: str | None = None) -> bool | None:
        """Takes a timer back; whether there was one, None within an event's block."""
        existed: bool | None = self._with_event(_event_requests.cancel_timer(id, key)).get(
            "existed"
        )
        return existed

    def _with_event(self, request: Request) -> Any:
        """What it answers, or {} where it goes with the ack of an event."""
        return {} if self._link.gathered(request) else self._call(request)
