"""The engines, and what they have learnt and decided."""

from __future__ import annotations

from .._confidence import ConfidenceEngine
from .._context import ContextEngine
from .._decision import DecisionEngine
from .common import Clock, Refused, Undo, whole
from .reviews import Reviews

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KEPT = 65_536
"""Decisions and outcomes that are remembered."""


class Engines:
    """adrt's, with the tables that are built in."""

    def __init__(self, undo: Undo, clock: Clock, reviews: Reviews) -> None:
        self.environment: dict[str, Any] = {"level": "calm", "score": 0.0, "signals": {}}
        self.decisions: dict[int, dict[str, Any]] = {}
        """What was decided, by id, with what `record_outcome` needs."""
        self.confidence = ConfidenceEngine(clock=clock.now)
        self._context = ContextEngine()
        self._decision = DecisionEngine()
        self._taught: dict[Any, bool] = {}  # by call_id, or number of a decision
        self._reviews = reviews
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
        """What to do; remembered, and asked about if need be."""
        event, context, risk, sure = (
            whole(params, name) for name in ("event", "context", "risk", "confidence")
        )
        decided = self._decision.decide(
            event,
            context,
            risk,
            sure,
            rules=params.get("rules"),
            environment=self.environment["level"],
        ).model_dump()
        number = decided["decision_id"] = len(self.decisions) + 1
        told = {"confidence": sure, "context_risk": risk, "context": context}
        self._undo.put(self.decisions, number, {"call_id": call_id} if call_id else told)
        if decided["verdict"] == "review":
            prompt = f"{decided['action']} for {event['type']} ({context}, risk {risk})?"
            decided["review_id"] = self._reviews.ask_for_decision(number, prompt)
        return decided

    def known(self, number: int) -> dict[str, Any]:
        """What an outcome of a decision needs."""
        if number not in self.decisions:
            raise Refused("invalid_params", f"there is no decision {number}", member="decision_id")
        return self.decisions[number]

    def record(self, params: dict[str, Any]) -> dict[str, Any]:
        """How acting came out; once for each call and decision."""
        names = ("call_id", "confidence", "context_risk", "context")
        told = {name: params[name] for name in names if name in params}
        success, once = whole(params, "success"), told.get("call_id")
        if "decision_id" in params:
            told, once = self.known(params["decision_id"]), params["decision_id"]
        if once in self._taught:
            if self._taught[once] != success:
                why = f"another outcome of {once} was recorded before"
                raise Refused("invalid_params", why, member="success")
            return {}
        cells = dict(self.confidence.cells)
        self._undo.add(lambda: setattr(self.confidence, "cells", cells))
        self.confidence.record_outcome(success, **told)
        if once is not None:
            self._undo.put(self._taught, once, success)
            if len(self._taught) > KEPT:
                del self._taught[next(iter(self._taught))]
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
                for name in ("verdict", "action", "reason", "priority", "decision_id", "review_id")
                if name in decided
            },
        }
