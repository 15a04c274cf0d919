"""The engines of a client: those in adrt, asked over the wire.

The same calls as those of `ContextEngine`, `ConfidenceEngine` and
`DecisionEngine`, which do without adrt. None of them is awaited, on `Runtime`
neither: they wait on the wire itself for the moment it takes. What is asked
of these engines is configured, remembered and accounted for by adrt.
"""

from __future__ import annotations

from . import _engine_requests
from ._engine_results import Confidence, Context, Decision

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, SupportsFloat, Union

    from ._requests import Request
    from ._rules import WrittenRule

    Ask = Callable[[Request], Any]
    """Sends a request and waits for its result."""
    Tell = Callable[[Request], None]
    """Sends a request; should it fail, that is said on stderr."""


class ClientContextEngine:
    """What events mean."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def analyze(self, event: dict[str, Any]) -> Context:
        """Risk, stability, context, pressure and tags of an event."""
        return Context(self._ask(_engine_requests.analyze(event)))


class ClientConfidenceEngine:
    """How sure one can be, by what came of it before."""

    def __init__(self, ask: Ask, tell: Tell) -> None:
        self._ask = ask
        self._tell = tell

    def calculate(
        self, event: dict[str, Any], context_risk: str, context: str | None = None
    ) -> Confidence:
        """The confidence in acting on an event, at this risk and in this context."""
        return Confidence(self._ask(_engine_requests.calculate(event, context_risk, context)))

    def record_outcome(
        self,
        success: bool,
        confidence: Union[SupportsFloat, None] = None,
        context_risk: str | None = None,
        context: str | None = None,
        *,
        call_id: str | None = None,
        decision_id: int | None = None,
    ) -> None:
        """Tells how acting came out; the next `calculate` has learnt from it.

        Of a decision (`decision_id`), of a `calculate` (`call_id`), or of a
        confidence at a risk. Doesn't wait for the disk: should it fail, that
        is said on stderr.
        """
        self._tell(
            _engine_requests.record_outcome(
                success, confidence, context_risk, context, call_id, decision_id
            )
        )


class ClientDecisionEngine:
    """What to do, by rules; written down, with the reasons."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def decide(
        self,
        event: dict[str, Any],
        context: str,
        risk: str,
        confidence: Union[SupportsFloat, Confidence],
        *,
        rules: Iterable[WrittenRule] | None = None,
    ) -> Decision:
        """What to do about an event. `rules` are tried before all others.

        (context, risk, min_confidence, action, reason) each, or a dict of
        these; None fits any context or risk, "high+" is high or above.
        """
        return Decision(
            self._ask(_engine_requests.decide(event, context, risk, confidence, rules))
        )
