"""Events.

```
              hand out                 ack
   pending ───────────────► held ───────────────► acked
      ▲  ▲                   │ │
      │  └──── nack, crash ──┘ ├─ nack {dead}, too many crashes, too old ─► dead
      └─ what it waits for ─ parked
```

Handed out in the order of (due, seq), as many at a time as the agent gives
credit for, and only of the types it asked for.
"""

from __future__ import annotations

from .._bus import matches
from .common import Clock, Refused, Undo, rfc3339, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_ATTEMPTS = 3
"""Crashes while the event was held, before it is dead."""
NACK_FIRST_SECONDS = 1.0
NACK_MAX_SECONDS = 600.0
MAX_AGE_SECONDS = 24 * 3600.0
MAX_WAITING = 100_000
"""Events that aren't settled, before the inbox is full."""
HISTORY_LIMIT = 100


class Entry:
    """An event and what has become of it."""

    def __init__(self, seq: int, event: dict[str, Any], at: float, due: float) -> None:
        self.seq = seq
        self.event = event
        self.at = at
        self.due = due
        self.status = "pending"
        self.attempt = 0
        self.crashes = 0
        self.nacks = 0
        self.last_error: str | None = None
        self.until: dict[str, Any] = {}

    def shown(self) -> dict[str, Any]:
        """As `event.history` tells it."""
        members = {name: getattr(self, name) for name in ("seq", "status", "attempt", "event")}
        members["at"] = rfc3339(self.at)
        if self.last_error is not None:
            members["last_error"] = self.last_error
        return members


class Inbox:
    """All events, settled ones included."""

    def __init__(self, undo: Undo, clock: Clock) -> None:
        self.entries: dict[int, Entry] = {}
        self._undo = undo
        self._clock = clock
        self._open: dict[int, Entry] = {}  # those not acked or dead
        self._ids: dict[tuple[str, str], int] = {}
        self._last = 0
        self._anything_parked = False  # ever: most never park, and emit often

    # ------------------------------------------------------------- in

    def emit(self, event: Any, delay_ms: int | None) -> dict[str, Any]:
        """Takes an event in; once for each source and id."""
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise Refused("invalid_params", "an event is an object with a type")
        name = (str(event.get("source", "")), str(event["id"])) if "id" in event else None
        if name in self._ids:
            return {"seq": self._ids[name], "duplicate": True}
        if len(self._open) >= MAX_WAITING:
            raise Refused("inbox_full", "too many events wait to be handled", retryable=True)
        now = self._clock.now()
        self._undo.set(self, _last=self._last + 1)
        entry = Entry(self._last, event, now, now + (delay_ms or 0) / 1000)
        self._undo.put(self.entries, entry.seq, entry)
        self._undo.put(self._open, entry.seq, entry)
        if name is not None:
            self._undo.put(self._ids, name, entry.seq)
        self.wake(event_type=event["type"])
        return {"seq": entry.seq, "duplicate": False}

    def record(self, event: dict[str, Any]) -> tuple[int, bool]:
        """Takes in an event that is done with; its number, and whether it came before."""
        emitted = self.emit(event, None)
        if not emitted["duplicate"]:
            entry = self.entries[emitted["seq"]]
            self._undo.set(entry, attempt=1)
            self._close(entry, "acked")
        return emitted["seq"], emitted["duplicate"]

    def wake(self, **what: Any) -> None:
        """Something has happened that parked events may have waited for."""
        if not self._anything_parked:
            return
        for entry in self._open.values():
            if entry.status == "parked" and _has_come(entry.until, what):
                self._undo.set(entry, status="pending", due=self._clock.now(), until={})

    # ------------------------------------------------------------ out

    def ready(self, types: list[str] | None) -> Entry | None:
        """The next event to hand out."""
        soonest = self._soonest(types)
        if soonest is not None and soonest.due <= self._clock.now():
            return soonest
        return None

    def next_due(self, types: list[str] | None) -> float | None:
        """When there will be something to hand out, as far as is known."""
        soonest = self._soonest(types)
        return None if soonest is None else soonest.due

    def _soonest(self, types: list[str] | None) -> Entry | None:
        waiting = (
            entry
            for entry in self._open.values()
            if (entry.status == "pending" or "after_ms" in entry.until)
            and (types is None or any(matches(glob, entry.event["type"]) for glob in types))
        )
        return min(waiting, key=_turn, default=None)

    def hand_out(self, entry: Entry) -> dict[str, Any]:
        """What is told of a hand-out."""
        self._undo.set(entry, status="held", attempt=entry.attempt + 1, until={})
        told: dict[str, Any] = {
            "seq": entry.seq,
            "attempt": entry.attempt,
            "lease_ms": None,
            "event": entry.event,
        }
        if entry.last_error is not None:
            told["last_error"] = entry.last_error
        return told

    @property
    def held(self) -> int:
        """How many are held."""
        return sum(entry.status == "held" for entry in self._open.values())

    @property
    def unsettled(self) -> int:
        """How many are neither acked nor dead."""
        return len(self._open)

    # ------------------------------------------------------- settling

    def held_entry(self, params: dict[str, Any]) -> Entry:
        """The event that is meant, if it is held in this attempt."""
        entry = self.entries.get(whole(params, "seq"))
        if entry is None:
            raise Refused("unknown_event", f"there is no event {params['seq']}")
        if entry.status != "held" or params.get("attempt", entry.attempt) != entry.attempt:
            raise Refused(
                "stale_attempt",
                f"event {entry.seq} is {entry.status}, in attempt {entry.attempt}",
                attempt=entry.attempt,
            )
        return entry

    def ack(self, params: dict[str, Any]) -> None:
        """It is done."""
        self._close(self.held_entry(params), "acked")

    def nack(self, params: dict[str, Any]) -> dict[str, Any]:
        """It comes again later, or goes to the dead letters."""
        entry = self.held_entry(params)
        now = self._clock.now()
        delay = min(NACK_FIRST_SECONDS * 2.0**entry.nacks, NACK_MAX_SECONDS)
        if "delay_ms" in params:
            delay = params["delay_ms"] / 1000
        self._undo.set(entry, nacks=entry.nacks + 1, last_error=params.get("reason"))
        if params.get("dead") or now + delay - entry.at > MAX_AGE_SECONDS:
            self._close(entry, "dead")
        else:
            self._undo.set(entry, status="pending", due=now + delay)
        return {}

    def park(self, params: dict[str, Any], settled: bool) -> dict[str, Any]:
        """Out of the way, until something has happened."""
        entry, until = self.held_entry(params), whole(params, "until")
        if len(until) != 1 or not until.keys() <= {"review", "event_type", "after_ms"}:
            raise Refused("invalid_params", "until is one of review, event_type and after_ms")
        now = self._clock.now()
        if settled:  # the review that it waits for
            self._undo.set(entry, status="pending", due=now)
        else:
            due = now + until.get("after_ms", 0) / 1000
            self._anything_parked = True
            self._undo.set(entry, status="parked", until=until, due=due)
        return {}

    def extend(self, params: dict[str, Any]) -> dict[str, Any]:
        """There are no leases here."""
        self.held_entry(params)
        return {"lease_ms": None}

    def let_go(self, crashed: bool) -> None:
        """The incarnation that held events is gone."""
        for entry in list(self._open.values()):
            if entry.status == "held":
                entry.status = "pending"
                entry.crashes += crashed
                if entry.crashes >= MAX_ATTEMPTS:
                    entry.last_error = f"the agent crashed {entry.crashes} times while it held it"
                    self._close(entry, "dead")

    def _close(self, entry: Entry, status: str) -> None:
        self._undo.set(entry, status=status)
        self._undo.take(self._open, entry.seq)

    # -------------------------------------------------------- history

    def history(self, params: dict[str, Any]) -> dict[str, Any]:
        """Newest first, a page at a time."""
        before, glob = params.get("after"), params.get("type")
        found = [
            entry.shown()
            for entry in reversed(self.entries.values())
            if (before is None or entry.seq < before)
            and (glob is None or matches(glob, entry.event["type"]))
        ]
        limit = params.get("limit", HISTORY_LIMIT)
        page = found[:limit]
        return {"events": page, "next": page[-1]["seq"] if page and found[limit:] else None}


def _turn(entry: Entry) -> tuple[float, int]:
    return entry.due, entry.seq


def _has_come(until: dict[str, Any], what: dict[str, Any]) -> bool:
    if "event_type" in what:
        return "event_type" in until and matches(until["event_type"], what["event_type"])
    return until == what
