"""Events, steps, timers and kept values on the synchronous client.

`Agent` is made of this and of what is in `agent`; the asynchronous twin is
`_runtime_events`.
"""

from __future__ import annotations

from . import _event_requests, _kv, _requests
from ._bus import Bus
from ._errors import AdrtError, StaleAttempt, StepFailed, StepInReview
from ._events import LEFT_TO_THE_PROGRAM, HeldEvent
from ._results import Emitted, History
from ._steps import STEP_OPTIONS, StepCall, numbers_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Any, TypeVar

    from ._core import Core
    from ._event_requests import Checkpoint, Seconds
    from ._events import Kind
    from ._link import Flow, Link
    from ._requests import Request
    from ._steps import Numbers

    F = TypeVar("F", bound=Callable[..., Any])


class Event(HeldEvent):
    """An event, handed out to this process: a read-only dict, and what to do with it.

    `with event:` is all that most programs need. The changes of the state made
    inside, the events emitted and the values kept go with its ack, all in one
    transaction; an exception drops them and gives the event back, with its
    text, to be tried again later.
    """

    __slots__ = ("_agent",)

    def __init__(self, agent: AgentEvents, delivery: dict[str, Any]) -> None:
        super().__init__(delivery, agent._link)
        self._agent = agent

    def __enter__(self) -> Event:
        self._begin()
        return self

    def __exit__(
        self, kind: Kind | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._end()
        if kind is None or error is None:
            if not self._settled:
                self._finish()
            elif self._settled == "acked":
                self._agent.bus.publish(self)
            return False
        if self._settled or not isinstance(error, Exception):
            return False
        return self._give_back(kind, error, trace)

    def _finish(self) -> None:
        try:
            self.ack()
        except StaleAttempt as error:
            self._lost(error)
        except LEFT_TO_THE_PROGRAM:
            raise
        except AdrtError as error:  # the changes are refused: another attempt, or the dead letters
            self._give_back(type(error), error, error.__traceback__)

    def _give_back(self, kind: Kind, error: Exception, trace: TracebackType | None) -> bool:
        if isinstance(error, LEFT_TO_THE_PROGRAM):
            return False
        try:
            if isinstance(error, StepInReview):
                self.park(review=error.review_id)
            else:
                self.nack(self._failed(kind, error, trace))
        except StaleAttempt as lost:
            self._lost(lost)
        return True

    # -------------------------------------------------------- settling

    def ack(
        self, patch: Any = None, *, format: str = "merge", checkpoint: Checkpoint = None
    ) -> int:
        """Says that it is done, together with all that was gathered; the state's version.

        `checkpoint=True`, or a label, keeps the state as it is after this.
        """
        if patch is not None:
            self.patch(patch, format=format)
        request = self._ack_request(checkpoint)
        self._settled_by("acked", request)
        if not self._inside:
            self._agent.bus.publish(self)
        assert self.version is not None
        return self.version

    def nack(
        self, reason: str | None = None, *, delay: Seconds | None = None, dead: bool = False
    ) -> None:
        """Gives it back: after `delay` (or adrt's own back-off) it comes again.

        With `dead` it doesn't: it goes to the dead letters.
        """
        self._settled_by(
            "nacked", _event_requests.nack(self.seq, self.attempt, reason, delay, dead)
        )

    def park(
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
        self._settled_by("parked", _event_requests.park(self.seq, self.attempt, until))

    def extend(self) -> int | None:
        """Asks for more time; the new lease in milliseconds, None where there are none."""
        lease: int | None = self._agent._call(_event_requests.extend(self.seq, self.attempt))[
            "lease_ms"
        ]
        self.lease_ms = lease
        return lease

    def _settled_by(self, how: str, request: Request) -> None:
        self._settle(how)
        try:
            result = self._agent._call(request)
        except AdrtError:
            self._not_settled()
            raise
        if how == "acked":
            self._acked(result)

    # ------------------------------------------------- what goes along

    def patch(self, patch: Any, *, format: str = "merge") -> None:
        """Changes members of the state, with the ack of this event."""
        self._gathering.add(_requests.patch(patch, format))

    def emit(self, event: Any, *, to: str | None = None, delay: Seconds | None = None) -> None:
        """Emits an event, with the ack of this one."""
        self._gathering.add(_event_requests.emit(event, to, delay))

    def step(self, name: str, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """`Agent.step`, of this event."""
        return self._agent._take_step(self._numbers, name, fn, args, kwargs)


class AgentEvents:
    """The part of `Agent` that is told about here."""

    bus: Bus
    """Handlers by type of event, in this process. Run after an event's ack."""
    kv: _kv.Kv
    """Values by key, on the disk, apart from the state."""
    _core: Core
    _link: Link
    _ends_itself: bool
    _scopes: dict[str, Numbers]

    # What `agent` has for it.
    _call: Callable[[Request], Any]
    _run: Callable[[Flow], Any]
    _heed_stop: Callable[[], None]

    def _set_up_events(self) -> None:
        self.bus = Bus()
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
        self._ends_itself = True
        request = self._link.inbox.wanted(types, credit)
        if request is not None:
            self._call(request)
        return self._deliveries()

    def _deliveries(self) -> Iterator[Event]:
        link = self._link
        while not link.stopping:
            delivery = link.inbox.take()
            if delivery is not None:
                yield Event(self, delivery)
                continue
            self._core.transport.expect_events()
            self._core.wait(link.inbox)
        link.say_if_lost()
        self._heed_stop()

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
