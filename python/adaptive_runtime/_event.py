"""An event in the hands of the synchronous client; the asynchronous twin is `_event_async`."""

from __future__ import annotations

from . import _engine_requests, _event_requests, _requests
from ._errors import AdrtError, StaleAttempt, StepInReview
from ._events import LEFT_TO_THE_PROGRAM, HeldEvent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Any

    from ._agent_engines import AgentEngines
    from ._engine_results import Processed, Review
    from ._event_requests import Checkpoint, Seconds
    from ._events import Kind
    from ._requests import Request


class Event(HeldEvent):
    """An event, handed out to this process: a read-only dict, and what to do with it.

    `with event:` is all that most programs need. The changes of the state made
    inside, the events emitted and the values kept go with its ack, all in one
    transaction; an exception drops them and gives the event back, with its
    text, to be tried again later.
    """

    __slots__ = ("_agent",)

    def __init__(self, agent: AgentEngines, delivery: dict[str, Any]) -> None:
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
        if review is not None:
            self._gathering.link.know_review(review)
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

    def process(self) -> Processed:
        """Runs it through all engines, as `Agent.process` does with others; doesn't ack it.

        Again, also in another attempt, it is the same decision.
        """
        return self._agent._process(_engine_requests.process(self, self.seq, None))

    def review(
        self,
        prompt: str,
        options: Sequence[Any] | None = None,
        key: str | None = None,
        timeout: Seconds | None = None,
        default: str = "reject",
        decision: Any = None,
    ) -> Review:
        """`Agent.review`, of this event."""
        return self._agent._settled_review(
            self, prompt, options, key, timeout, default, decision
        )
