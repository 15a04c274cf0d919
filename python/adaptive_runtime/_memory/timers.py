"""Timers: events at a time to come, once or again and again."""

from __future__ import annotations

from . import cron
from .common import Clock, Refused, Undo, from_rfc3339, rfc3339, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

KINDS = ("after_ms", "at", "every_ms", "cron")


class Timer:
    """When it goes off next, and what comes then."""

    def __init__(self, due: float, event: dict[str, Any], next: Callable[[float], float] | None):
        self.due = due
        self.event = event
        self.next = next  # from one due time to the following; None where there is none


class Timers:
    """All that are set, by id."""

    def __init__(self, undo: Undo, clock: Clock) -> None:
        self.timers: dict[str, Timer] = {}
        self._undo = undo
        self._clock = clock

    def set(self, params: dict[str, Any]) -> dict[str, Any]:
        """Sets one, or sets it anew."""
        kinds = [kind for kind in KINDS if kind in params]
        if len(kinds) != 1:
            raise Refused("invalid_params", f"a timer has one of {', '.join(KINDS)}")
        due, following = self._times(kinds[0], params[kinds[0]])
        timer = Timer(due, whole(params, "event"), following)
        self._undo.put(self.timers, whole(params, "id"), timer)
        return {"due": rfc3339(due)}

    def _times(self, kind: str, value: Any) -> tuple[float, Callable[[float], float] | None]:
        now = self._clock.now()
        if kind == "at":
            return from_rfc3339(value), None
        if kind == "after_ms":
            return now + value / 1000, None
        if kind == "every_ms":
            if value < 1:
                raise Refused("invalid_params", "every_ms is 1 or more")
            return now + value / 1000, lambda due: due + value / 1000
        try:
            fields = cron.parse(value)
            first = cron.following(fields, now)
        except ValueError as error:
            raise Refused("invalid_params", str(error)) from None
        return first, lambda due: cron.following(fields, due)

    def cancel(self, id: str) -> dict[str, Any]:
        """Takes one back."""
        existed = id in self.timers
        if existed:
            self._undo.take(self.timers, id)
        return {"existed": existed}

    def next_due(self) -> float | None:
        """When the next goes off."""
        return min((timer.due for timer in self.timers.values()), default=None)

    def take_due(self) -> list[dict[str, Any]]:
        """The events of those that are due; each once, however often it was."""
        now, events = self._clock.now(), []
        for id, timer in sorted(self.timers.items(), key=_due):
            if timer.due > now:
                break
            missed = 0
            if timer.next is None:
                self._undo.take(self.timers, id)
            else:
                due = timer.next(timer.due)
                while due <= now:
                    missed, due = missed + 1, timer.next(due)
                self._undo.set(timer, due=due)
            events.append({**timer.event, "missed": missed} if missed else timer.event)
        return events


def _due(item: tuple[str, Timer]) -> tuple[float, str]:
    return item[1].due, item[0]
