"""The engines, and what they have learnt and decided."""

from __future__ import annotations

from .._confidence import ConfidenceEngine
from .._context import ContextEngine
from .._decision import DecisionEngine
from .common import Clock, Refused, Undo, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KEPT = 65_536
"""Decisions and outcomes that are remembered."""


class Engines:
    """adrt's, with the tables that are built in."""

    def __init__(self, undo: Undo, clock: Clock) -> None:
        self.environment: dict[str, Any] = {"level": "calm", "score": 0.0, "signals": {}}
        self.decisions: dict[int, dict[str, Any]] = {}
        """What was decided, by id, with what `record_outcome` needs."""
        self.confidence = ConfidenceEngine(clock=clock.now)
        self._context = ContextEngine()
        self._decision = DecisionEngine()
        self._taught: dict[str, bool] = {}
        self._undo = undo

    def analyze(self, params: dict[str, Any]) -> dict[str, Any]:
        """What an event means."""
        return self._context.analyze(whole(params, "event")).model_dump()

    def calculate(self, params: dict[str, Any]) -> dict[str, Any]:
        """How sure one can be."""
        return self.confidence.calculate(
            whole(params, "event"),
            whole(params, "context_risk"),
            params.get("context"),
            environment=self.environment["level"],
        ).model_dump()

    def decide(self, params: dict[str, Any], call_id: str | None = None) -> dict[str, Any]:
        """What to do; remembered."""
        members = {name: whole(params, name) for name in ("event", "context", "risk", "confidence")}
        decided = self._decision.decide(
            **members, rules=params.get("rules"), environment=self.environment["level"]
        ).model_dump()
        number = decided["decision_id"] = len(self.decisions) + 1
        told = {"confidence": members["confidence"], "context_risk": members["risk"]}
        known = {"call_id": call_id} if call_id else {**told, "context": members["context"]}
        self._undo.put(self.decisions, number, known)
        return decided

    def record(self, params: dict[str, Any]) -> dict[str, Any]:
        """How acting came out; once for each call and decision."""
        told: dict[str, Any] = {
            name: params[name]
            for name in ("call_id", "confidence", "context_risk", "context")
            if name in params
        }
        once = f"call {told['call_id']}" if "call_id" in told else None
        if "decision_id" in params:
            once = f"decision {params['decision_id']}"
            if params["decision_id"] not in self.decisions:
                raise Refused("invalid_params", f"there is no decision {params['decision_id']}")
            told = self.decisions[params["decision_id"]]
        if once is not None:
            if once in self._taught:
                return {}
            self._undo.put(self._taught, once, True)
            if len(self._taught) > KEPT:
                del self._taught[next(iter(self._taught))]
        cells = dict(self.confidence.cells)
        self._undo.add(lambda: setattr(self.confidence, "cells", cells))
        self.confidence.record_outcome(whole(params, "success"), **told)
        return {}

    def process(self, event: dict[str, Any]) -> dict[str, Any]:
        """All of it, one after the other."""
        context = self.analyze({"event": event})
        sure = self.calculate(
            {"event": event, "context_risk": context["risk"], "context": context["context"]}
        )
        asked = {"event": event, "context": context["context"], "risk": context["risk"]}
        decided = self.decide({**asked, "confidence": sure["final"]}, sure["call_id"])
        return {
            "event_type": event["type"],
            "context": context,
            "confidence": sure["final"],
            "threshold": decided["metadata"]["threshold"],
            **{
                name: decided[name]
                for name in ("verdict", "action", "reason", "priority", "decision_id")
            },
        }
