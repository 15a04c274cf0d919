"""Reviews: questions to a person, settled once."""

from __future__ import annotations

from .common import Clock, Refused, Undo, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TIMEOUT_SECONDS = 3600.0
RESOLVED = "review.resolved"
_DEFAULTS = {"approve": "approved", "approved": "approved"}


class Reviews:
    """All of them, by number."""

    def __init__(self, undo: Undo, clock: Clock) -> None:
        self.all: dict[int, dict[str, Any]] = {}
        self._undo = undo
        self._clock = clock
        self._due: dict[int, float] = {}

    def request(self, params: dict[str, Any]) -> dict[str, Any]:
        """Asks; the same question is asked once."""
        number = self._known(params)
        if number is None:
            number = self.ask(whole(params, "prompt"), params)
        else:
            asked = self.all[number]
            self._undo.put(asked, "count", asked["count"] + 1)
        asked = self.all[number]
        told = {"review_id": number, "status": asked["status"]}
        if "answer" in asked:
            told["answer"] = asked["answer"]
        return told

    def _known(self, params: dict[str, Any]) -> int | None:
        key, about = params.get("key"), params.get("decision_id")
        for number, asked in self.all.items():
            if key is not None and asked["key"] == key:
                return number
        for number, asked in self.all.items():
            if about is not None and asked["decision_id"] == about:
                if asked["key"] in (None, key):
                    if asked["key"] is None and asked["status"] == "pending":
                        self._take_over(number, params)
                    return number
        for number, asked in self.all.items():
            if key is None and asked["key"] is None and asked["status"] == "pending":
                names = ("prompt", "options", "decision_id")
                if all(asked[name] == params.get(name) for name in names):
                    return number
        return None

    def _take_over(self, number: int, params: dict[str, Any]) -> None:
        """Who asks about a decision has its review, with their own words."""
        asked = self.all[number]
        for name in ("key", "prompt", "options"):
            self._undo.put(asked, name, params.get(name))
        if _DEFAULTS.get(str(params.get("default"))):
            self._undo.put(asked, "default", "approved")
        if "timeout_ms" in params:
            self._undo.put(self._due, number, self._clock.now() + params["timeout_ms"] / 1000)

    def ask_for_decision(self, decision: int, prompt: str) -> int:
        """Whether a decision may be carried out; what is asked already is not asked twice."""
        for number, asked in self.all.items():
            alike = asked["key"] is None and asked["prompt"] == prompt
            if asked["status"] == "pending" and asked["decision_id"] is not None and alike:
                self._undo.put(asked, "count", asked["count"] + 1)
                return number
        return self.ask(prompt, {"decision_id": decision})

    def ask(self, prompt: str, params: dict[str, Any] | None = None) -> int:
        """A new question; one without `params` waits for ever."""
        number = len(self.all) + 1
        given = params or {}
        asked = {
            "status": "pending",
            "prompt": prompt,
            "options": given.get("options"),
            "key": given.get("key"),
            "decision_id": given.get("decision_id"),
            "default": _DEFAULTS.get(str(given.get("default")), "rejected"),
            "count": 1,
        }
        self._undo.put(self.all, number, asked)
        if params is not None:
            timeout = given.get("timeout_ms", TIMEOUT_SECONDS * 1000) / 1000
            self._undo.put(self._due, number, self._clock.now() + timeout)
        return number

    def get(self, number: int) -> dict[str, Any]:
        """A review, by its number."""
        if number not in self.all:
            raise Refused("invalid_params", f"there is no review {number}")
        return self.all[number]

    def told(self, number: int) -> dict[str, Any]:
        """As `review.get` and the notification tell it."""
        asked = self.get(number)
        names = ["status", "answer", "note", "by"]
        if asked["status"] == "expired":
            names.append("default")
        return {"review_id": number, **{name: asked[name] for name in names if name in asked}}

    def settle(self, number: int, status: str, **said: Any) -> None:
        """It is decided."""
        asked = self.get(number)
        if asked["status"] != "pending":
            raise Refused("invalid_params", f"review {number} is {asked['status']} already")
        asked.update(status=status, **{k: v for k, v in said.items() if v is not None})
        self._due.pop(number, None)

    def expired(self) -> list[int]:
        """Those for which silence is an answer by now."""
        now = self._clock.now()
        return [number for number, due in self._due.items() if due <= now]

    def next_due(self) -> float | None:
        """When silence will be one."""
        return min(self._due.values(), default=None)

    def pending(self) -> list[int]:
        """Those nobody has settled."""
        return [number for number, asked in self.all.items() if asked["status"] == "pending"]
