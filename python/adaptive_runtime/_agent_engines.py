"""The engines, the environment and reviews on the synchronous client.

`Agent` is made of this and of what is in `agent` and `_agent_events`; the
asynchronous twin is `_runtime_engines`.
"""

from __future__ import annotations

from . import _engine_requests
from ._agent_events import AgentEvents
from ._client_engines import ClientConfidenceEngine, ClientContextEngine, ClientDecisionEngine
from ._engine_results import Processed
from ._environment import AgentEnvironment
from ._events import HeldEvent, say
from ._gather import current
from ._metrics import Metrics
from ._reviews import ReviewCall
from ._stop import EXIT_CODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ._core import Call
    from ._engine_results import Review
    from ._event_requests import Seconds
    from ._requests import Request
    from ._wire import Awaited


class AgentEngines(AgentEvents):
    """The part of `Agent` that is told about here."""

    context_engine: ClientContextEngine
    confidence_engine: ClientConfidenceEngine
    decision_engine: ClientDecisionEngine
    environment: AgentEnvironment
    """How hard-pressed the machine is."""

    # What `agent` has for it.
    _heed: Callable[[], None]

    def _set_up_engines(self) -> None:
        self._metrics = Metrics()
        self.context_engine = ClientContextEngine(self._call)
        self.confidence_engine = ClientConfidenceEngine(self._call, self._say_if_refused)
        self.decision_engine = ClientDecisionEngine(self._call)
        self.environment = AgentEnvironment(self)

    def process(self, event: dict[str, Any], key: str | None = None) -> Processed:
        """Runs an event through all engines: what it means, how sure one can be, what to do.

        Event and decision are on the disk when this returns, and the bus has
        had it. With `key` it is processed once for ever, whoever repeats it.
        An event of `events()` may be given too; see `Event.process`.
        """
        if isinstance(event, HeldEvent):
            return self._process(_engine_requests.process(event, event.seq, None))
        result = self._process(_engine_requests.process(event, None, key))
        self.bus.publish(event)
        return result

    def _process(self, request: Request) -> Processed:
        result = Processed(self._call(request))
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
    ) -> Review:
        """Asks a person (`adrt reviews`), and waits for the answer.

        After `timeout`, an hour unless said, silence means `default`, "reject"
        or "approve". Asked again with the same `key`, by a later incarnation
        say, it is the same review, its answer included; within an event's
        block the key is made of the event and the order of the calls. The
        `decision` it is about is a result of `decide` or `process`, or its id.

        When adrt wants the agent to end, this ends it: SystemExit is raised.
        An event that is held comes again, and this goes on waiting.
        """
        gathering = current(self._link)
        event = None if gathering is None else gathering.event
        return self._settled_review(event, prompt, options, key, timeout, default, decision)

    def _settled_review(self, event: HeldEvent | None, *question: Any) -> Review:
        link = self._link
        call = ReviewCall(link, event, *question)
        link.asked.add(call)
        try:
            self._run(call.ask())
            while call.review is None:
                self._wait_for_others(call, call.patience)
                self._heed()
                if call.id in call.heard:
                    self._run(call.look())
                elif self._core.closed is not None:
                    raise type(self._core.closed)(str(self._core.closed))
                elif link.stopping:
                    raise SystemExit(EXIT_CODE)
                elif event is not None and call.patience is not None:
                    event.extend()  # type: ignore[attr-defined]
        finally:
            link.asked.discard(call)
        return call.review

    def _wait_for_others(self, awaited: Awaited, seconds: float | None) -> None:
        """Waits for what neither this program nor adrt does."""
        transport = self._core.transport
        transport.await_others(1)
        try:
            self._core.wait(awaited, seconds)
        finally:
            transport.await_others(-1)

    def _say_if_refused(self, request: Request) -> None:
        def answered(call: Call) -> None:
            if call.error is not None:
                say(f"{request.method} was refused: {call.error}")

        self._core.send(request, answered)
        self._core.push()
