"""The engines, the environment and reviews on the asynchronous client.

`Runtime` is made of this and of what is in `runtime` and `_runtime_events`;
the names are those of `_agent_engines`, and what they do is told there.
"""

from __future__ import annotations

import asyncio

from . import _blocking, _engine_requests
from ._client_engines import ClientConfidenceEngine, ClientContextEngine, ClientDecisionEngine
from ._engine_results import Processed
from ._environment import RuntimeEnvironment
from ._errors import AdrtError, NotConnected
from ._events import HeldEvent, say
from ._gather import current
from ._metrics import Metrics
from ._reviews import ReviewCall
from ._runtime_events import RuntimeEvents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Any

    from ._engine_results import Review
    from ._event_requests import Seconds
    from ._requests import Request


class RuntimeEngines(RuntimeEvents):
    """The part of `Runtime` that is told about here."""

    context_engine: ClientContextEngine
    confidence_engine: ClientConfidenceEngine
    decision_engine: ClientDecisionEngine
    environment: RuntimeEnvironment
    """How hard-pressed the machine is."""
    store_timeout: float
    _ends_itself: bool

    # What `runtime` has for it.
    _leave: Callable[[], None]

    def _set_up_engines(self) -> None:
        self._metrics = Metrics()
        self.context_engine = ClientContextEngine(self._now)
        self.confidence_engine = ClientConfidenceEngine(self._now, self._say_if_refused)
        self.decision_engine = ClientDecisionEngine(self._now)
        self.environment = RuntimeEnvironment(self)

    async def process(self, event: dict[str, Any], key: str | None = None) -> Processed:
        """Runs an event through all engines: what it means, how sure one can be, what to do.

        Event and decision are on the disk when this returns. Handlers of the
        bus run after that, beside the program. With `key` it is processed
        once for ever, whoever repeats it. An event of `events()` may be given
        too; see `AsyncEvent.process`.
        """
        if isinstance(event, HeldEvent):
            return await self._process(_engine_requests.process(event, event.seq, None))
        result = await self._process(_engine_requests.process(event, None, key))
        # Last, and with no await after it: what the caller does next comes first.
        self.bus.publish_nowait(event)
        return result

    async def _process(self, request: Request) -> Processed:
        result = Processed(await self._answer(request))
        self._metrics.processed(result)
        return result

    def metrics_summary(self) -> dict[str, Any]:
        """What this process has done: how many events it has processed, and how.

        `events_processed` and, of these, `by_type`, `by_action`,
        `by_priority`, `by_verdict` and `average_confidence`; `checkpoints`
        made by this process, `state_version`, `environment` (the level),
        `restarts` over the agent's life, `crashes_in_row`, `uptime_seconds`.
        """
        return self._metrics.summary()

    def review(
        self,
        prompt: str,
        options: Sequence[Any] | None = None,
        key: str | None = None,
        timeout: Seconds | None = None,
        default: str = "reject",
        decision: Any = None,
    ) -> Awaitable[Review]:
        """Asks a person (`adrt reviews`), and waits for the answer.

        After `timeout`, an hour unless said, silence means `default`, "reject"
        or "approve". Asked again with the same `key`, by a later incarnation
        say, it is the same review, its answer included; within an event's
        block the key is made of the event and the order of the calls. The
        `decision` it is about is a result of `decide` or `process`, or its id.

        When adrt wants the agent to end, this ends it, unless the program has
        said that it ends itself. An event that is held comes again, and this
        goes on waiting.
        """
        gathering = current(self._link)
        event = None if gathering is None else gathering.event
        return self._settled_review(event, prompt, options, key, timeout, default, decision)

    def _settled_review(self, event: HeldEvent | None, *question: Any) -> Awaitable[Review]:
        # Numbered here and now: the order of the calls counts, not of the awaits.
        return self._wait_for_review(ReviewCall(self._link, event, *question))

    async def _wait_for_review(self, call: ReviewCall) -> Review:
        driver, link = self._driver, self._link
        link.asked.add(call)
        try:
            await driver.run(call.ask())
            while call.review is None:
                came = await driver.until(call, call.patience)
                if call.id in call.heard:
                    await driver.run(call.look())
                elif driver.core.closed is not None:
                    raise type(driver.core.closed)(str(driver.core.closed))
                elif link.stopping:
                    await self._end_within()
                elif self._driver_or_none is not driver:
                    raise NotConnected("this Runtime was stopped, and nothing is waited for")
                elif not came and call.event is not None:
                    await call.event.extend()  # type: ignore[attr-defined]
        finally:
            link.asked.discard(call)
        return call.review

    async def _end_within(self) -> None:
        """What is waited for won't come in this life: ends it. Returns no more."""
        if not self._ends_itself:
            self._leave()
        await self._driver.loop.create_future()

    # ------------------------------------------------- without awaiting

    def _now(self, request: Request) -> Any:
        """Asks and waits on the wire, in the loop's own thread or in any other."""
        driver = self._driver
        if _blocking.may_wait_here(driver.loop):
            return _blocking.ask(driver.core, [request], self.store_timeout)[0]
        return asyncio.run_coroutine_threadsafe(self._asked(request), driver.loop).result()

    async def _asked(self, request: Request) -> Any:
        return await self._answer(request)

    def _say_if_refused(self, request: Request) -> None:
        driver = self._driver
        if _blocking.may_wait_here(driver.loop):
            driver.spawn(self._told(request, self._answer(request)))
        else:
            driver.loop.call_soon_threadsafe(self._say_if_refused, request)

    async def _told(self, request: Request, answer: Awaitable[Any]) -> None:
        try:
            await answer
        except AdrtError as error:
            say(f"{request.method} was refused: {error}")
