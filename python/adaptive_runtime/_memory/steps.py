"""Remembered steps, and the reviews of those whose outcome is unknown.

A step is open from its beginning until it is completed. One that another
attempt finds open is run again, or (`on_unknown: "review"`) left to a person.
"""

from __future__ import annotations

from .common import Refused, Undo, whole
from .reviews import Reviews

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Where = tuple[str, Any, str]


class Step:
    """A step that has begun."""

    def __init__(self, input_hash: str | None, key: str, holder: object) -> None:
        self.input_hash = input_hash
        self.idempotency_key = key
        self.holder = holder  # who has begun it: incarnation and attempt of the event
        self.status = "open"
        self.attempt = 1
        self.outcome: dict[str, Any] = {}
        self.review: int | None = None


class Steps:
    """All of them, by event or scope and name."""

    def __init__(self, undo: Undo, run_id: str, reviews: Reviews) -> None:
        self.steps: dict[Where, Step] = {}
        self._reviews = reviews
        self._undo = undo
        self._run_id = run_id

    def begin(self, params: dict[str, Any], holder: object) -> dict[str, Any]:
        """Says whether to run it."""
        where, input_hash = place(params), params.get("input_hash")
        step = self.steps.get(where)
        if step is None:
            key = "-".join(map(str, (self._run_id, *where)))
            step = Step(input_hash, key, holder)
            self._undo.put(self.steps, where, step)
            return _answer(step, "run")
        if None not in (input_hash, step.input_hash) and input_hash != step.input_hash:
            raise Refused("step_mismatch", f"step {where[2]} was begun with another input")
        if step.status != "open":
            return {**_answer(step, step.status), **step.outcome}
        if step.holder == holder:
            raise Refused("step_in_progress", f"step {where[2]} is under way")
        if params.get("on_unknown") == "review" and not self._approved(step, where):
            return self._waits(step)
        self._undo.set(step, attempt=step.attempt + 1, holder=holder, review=None)
        return _answer(step, "run")

    def _approved(self, step: Step, where: Where) -> bool:
        if step.review is None:
            number = self._reviews.ask(f"run step {where[2]} again?")
            self._undo.set(step, review=number)
        return bool(self._reviews.get(step.review or 0)["status"] == "approved")

    def _waits(self, step: Step) -> dict[str, Any]:
        review = self._reviews.get(step.review or 0)
        if review["status"] == "pending":
            return {**_answer(step, "review"), "review_id": step.review}
        error = {"message": f"review {step.review} was {review['status']}"}
        self._undo.set(step, status="failed", outcome={"error": error})
        return {**_answer(step, "failed"), "error": error}

    def complete(self, params: dict[str, Any], holder: object) -> None:
        """Remembers how it came out."""
        step = self.steps.get(place(params))
        if step is None or step.status != "open" or step.holder != holder:
            raise Refused("stale_attempt", f"step {params['step']} is not under way here")
        if params.get("attempt") != step.attempt:
            raise Refused("stale_attempt", f"step {params['step']} is in attempt {step.attempt}")
        if ("result" in params) == ("error" in params):
            raise Refused("invalid_params", "a step has a result or an error")
        status, name = ("done", "result") if "result" in params else ("failed", "error")
        self._undo.set(step, status=status, outcome={name: params[name]})

    def forget(self, scope: str) -> dict[str, Any]:
        """Forgets a scope's."""
        for where in [where for where in self.steps if where[:2] == ("scope", scope)]:
            self._undo.take(self.steps, where)
        return {}

    def open_ones(self) -> list[dict[str, Any]]:
        """Those that began and never ended, as `initialize` tells them."""
        return [
            {kind: value, "step": name, "attempt": step.attempt}
            for (kind, value, name), step in self.steps.items()
            if step.status == "open"
        ]


def place(params: dict[str, Any]) -> Where:
    """Event or scope, and name."""
    if ("seq" in params) == ("scope" in params):
        raise Refused("invalid_params", "a step has a seq or a scope")
    kind = "seq" if "seq" in params else "scope"
    return kind, params[kind], whole(params, "step")


def _answer(step: Step, status: str) -> dict[str, Any]:
    return {
        "status": status,
        "attempt": step.attempt,
        "idempotency_key": step.idempotency_key,
    }
