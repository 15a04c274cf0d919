"""The decision engine by itself: which action, why, and whether a person is asked first.

    from adaptive_runtime import DecisionEngine
    engine = DecisionEngine(custom_rules=[("my_context", "high", 0.70, "my_action", "my_reason")])
    engine.decide(event, "my_context", "high", 0.78).action

Rules are tried in their order, the program's own before the built-in ones
(`_rules`). What the action needs in confidence depends on its gate: `never`
for what only watches, `risk` for relief, else `full`, which an environment
under pressure raises. Below it the verdict is `review`.

`Runtime.decision_engine` decides in adrt, which writes down what was decided
and why, and keeps the review.
"""

from __future__ import annotations

from . import _confidence, _context, _rules
from ._engine_results import Decision, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, SupportsFloat

    from ._rules import WrittenRule

PRIORITIES = {"critical": "critical", "high": "high", "medium": "normal", "low": "low"}
"""By risk."""


class DecisionEngine:
    """Decides by rules. The same question always has the same answer."""

    def __init__(
        self,
        custom_rules: Iterable[WrittenRule] | None = None,
        *,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        """`custom_rules` come before the built-in ones; `thresholds` by risk."""
        self.custom_rules = _rules.rules(custom_rules, "custom_rules")
        self.thresholds = _confidence.checked_thresholds(thresholds)
        self._decided = 0

    def decide(
        self,
        event: Mapping[str, Any],
        context: str,
        risk: str,
        confidence: SupportsFloat,
        *,
        rules: Iterable[WrittenRule] | None = None,
        environment: str = "calm",
    ) -> Decision:
        """What to do about an event. `rules` are tried before all others."""
        _context.event_type(event)
        _context.read_signals(event)  # they play no part, but one that is none is a mistake
        risk = _context.risk_named(risk)
        sure = _context.number(plain(confidence), "confidence", 1.0)
        rule, name = self._choose(_rules.rules(rules, "rules"), context, risk, sure)
        needed = self._threshold(rule.gate, risk, environment)
        self._decided += 1
        return Decision(
            {
                "decision_id": self._decided,
                "action": rule.action,
                "reason": rule.reason,
                "priority": PRIORITIES[risk],
                "verdict": "execute" if sure >= needed else "review",
                "metadata": {
                    "rule": name,
                    "gate": rule.gate,
                    "threshold": needed,
                    "confidence": sure,
                    "environment": environment,
                },
            }
        )

    def _choose(
        self, first: list[_rules.Rule], context: str, risk: str, confidence: float
    ) -> tuple[_rules.Rule, str]:
        tables = (("call", first), ("user", self.custom_rules), ("built-in", _rules.BUILT_IN))
        for name, table in tables:
            for index, rule in enumerate(table):
                if rule.fits(context, risk, confidence):
                    return rule, f"{name} {index + 1}"
        raise AssertionError("the last built-in rule fits everything")

    def _threshold(self, gate: str, risk: str, environment: str) -> float:
        raised = _confidence.raised_threshold(self.thresholds, risk, environment)
        if gate == "never":
            return 0.0
        return self.thresholds[risk] if gate == "risk" else raised
