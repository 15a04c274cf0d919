"""An event in the hands of the asynchronous client; the synchronous twin is `_event`."""

from __future__ import annotations

from . import _engine_requests, _event_requests, _requests
from ._errors import AdrtError, StaleAttempt, StepInReview
from ._events import LEFT_TO_THE_PROGRAM, HeldEvent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType
    from typing import Any

    from ._engine_results import Processed, Review
    from ._event_requests import Checkpoint, Seconds
    from ._events import Kind
    from ._requests import Request
    from ._runtime_engines import RuntimeEngines


class AsyncEvent(HeldEvent):
    """An event, handed out to this process: a read-only dict, and what to do with it.

    `async with event:` is all that most programs need. The changes of the
    state made inside, the events emitted and the values kept go with its ack,
    all in one transaction; an exception drops them and gives the event back,
    with its text, to be tried again later. One that is cancelled, or exits,
    leaves the event as it is: it comes again in the next incarnation.
    """

    __slots__ = ("_runtime",)

    def __init__(self, runtime: RuntimeEngines, delivery: dict[str, Any]) -> None:
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
        if review is not None:
            self._gathering.link.know_review(review)
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

    async def process(self) -> Processed:
        """Runs it through all engines, as `Runtime.process` does with others; doesn't ack it.

        Again, also in another attempt, it is the same decision.
        """
        return await self._runtime._process(_engine_requests.process(self, self.seq, None))

    def review(
        self,
        prompt: str,
        options: Sequence[Any] | None = None,
        key: str | None = None,
        timeout: Seconds | None = None,
        default: str = "reject",
        decision: Any = None,
    ) -> Awaitable[Review]:
        """`Runtime.review`, of this event."""
        return self._runtime._settled_review(
            self, prompt, options, key, timeout, default, decision
        )
