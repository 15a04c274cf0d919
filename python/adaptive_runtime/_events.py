"""Events as they come in and as the program sees them.

```
   event.deliver ──► Inbox.waiting ──► iteration ──► block ──┬─ its end ───────► event.ack
        (credit bounds how many)                             ├─ an exception ──► event.nack
                                                             ├─ StepInReview ──► event.park
                                                             └─ cancelled, killed: left as it is
```

What is left is held until this process ends, and then handed out again.
"""

from __future__ import annotations

import os

from . import _errors, _event_requests
from ._gather import Gathering
from ._state import StateDict, freeze
from ._steps import Numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Any

    from ._event_requests import Checkpoint
    from ._link import Link
    from ._requests import Request

    Kind = type[BaseException]

SEEN_KEPT = 65_536
"""Hand-outs that are remembered, to know one that is read a second time. See `_core`."""

REASON_LENGTH = 2_000
"""Characters of an exception's text that are kept with the event."""

LEFT_TO_THE_PROGRAM = (
    _errors.StoreFailed,
    _errors.OutcomeUnknown,
    _errors.Disconnected,
    _errors.NotConnected,
)
"""With these a nack would fail as well: the program hears of them."""


class Inbox:
    """Events that have been handed out to this process and not been looked at."""

    def __init__(self, link: Link) -> None:
        self.subscription: dict[str, Any] | None = None
        self.on_delivery: Callable[[], None] | None = None
        self._link = link
        self._waiting: list[dict[str, Any]] = []
        self._seen: dict[int, int] = {}  # the latest attempt by seq

    def wanted(self, types: Sequence[str] | None, credit: int | None) -> Request | None:
        """The request that asks for these events, unless they have been asked for."""
        if credit is None and types is None and self.subscription is not None:
            return None
        wanted = _event_requests.subscription(1 if credit is None else credit, types)
        if wanted == self.subscription:
            return None
        self.subscription = wanted
        return _event_requests.subscribe(wanted)

    def deliver(self, params: dict[str, Any]) -> None:
        """An event has come."""
        seq, attempt = params["seq"], params["attempt"]
        if self._seen.get(seq, 0) >= attempt:
            return
        self._waiting.append(params)
        self._seen[seq] = attempt
        if len(self._seen) > SEEN_KEPT:
            del self._seen[next(iter(self._seen))]
        if self.on_delivery is not None:
            self.on_delivery()

    def take(self) -> dict[str, Any] | None:
        """The next event; several threads may ask."""
        try:
            return self._waiting.pop(0)
        except IndexError:
            return None

    def tells_nothing_new(self, delivery: dict[str, Any]) -> bool:
        """Whether it is the end of a review that the program hears of otherwise.

        Such events are for those who don't wait; whoever names their type gets all.
        """
        event = delivery["event"]
        return (
            event["type"] == "review.resolved"
            and "types" not in (self.subscription or {})
            and event.get("review_id") in self._link.known_reviews
        )

    @property
    def done(self) -> bool:
        """Whether there is no more to wait for: an event has come, or the end, or news."""
        return bool(self._waiting) or self._link.stopping or self._link.news


class HeldEvent(StateDict):
    """An event, read-only, with what is known about this hand-out of it."""

    __slots__ = (
        "_gathering",
        "_inside",
        "_numbers",
        "_settled",
        "attempt",
        "last_error",
        "lease_ms",
        "seq",
        "version",
    )

    def __init__(self, delivery: dict[str, Any], link: Link) -> None:
        super().__init__(freeze(delivery["event"]))
        self.seq: int = delivery["seq"]
        self.attempt: int = delivery["attempt"]
        """1 for the first hand-out; rises with each."""
        self.last_error: str | None = delivery.get("last_error")
        """Why the attempt before this one failed."""
        self.lease_ms: int | None = delivery.get("lease_ms")
        self.version: int | None = None
        """The version of the state that the ack has made, once it is acked."""
        self._gathering = Gathering(link, self)
        self._numbers = Numbers({"seq": self.seq})
        self._inside = False
        self._settled = ""

    @property
    def type(self) -> str:
        """What kind of event it is."""
        name: str = self["type"]
        return name

    @property
    def source(self) -> str | None:
        """Where it comes from, if it says so."""
        return self.get("source")

    @property
    def id(self) -> str | None:
        """Its id, if it has one; with `source` it is unique."""
        return self.get("id")

    def __repr__(self) -> str:
        body = dict.__repr__(self)
        if len(body) > 200:
            body = body[:199] + "…"
        settled = f", {self._settled}" if self._settled else ""
        return f"<event {self.seq}, attempt {self.attempt}{settled}: {body}>"

    # ---------------------------------------- for both clients' events

    def _begin(self) -> None:
        if self._inside or self._settled:
            raise RuntimeError(f"an event is handled once in a hand-out: {self!r}")
        self._inside = True
        self._gathering.enter()

    def _end(self) -> None:
        self._inside = False
        self._gathering.leave()

    def _ack_request(self, checkpoint: Checkpoint) -> Request:
        gathering = self._gathering
        request = _event_requests.ack(self.seq, self.attempt, gathering.requests, checkpoint)
        request.guard = gathering.guard
        return request

    def _settle(self, how: str) -> None:
        """From here on it is no longer ours, and changes are their own."""
        if self._settled:
            raise RuntimeError(f"this event has been {self._settled} before: {self!r}")
        self._settled = how
        if how != "acked":
            self._gathering.drop()
        self._gathering.open = False

    def _not_settled(self) -> None:
        """adrt has refused to; it is ours still."""
        self._settled = ""
        self._gathering.open = self._inside

    def _acked(self, result: dict[str, Any]) -> None:
        if "results" in result:
            result = result["results"][-1]
        self.version = result.get("version")

    def _lost(self, error: _errors.StaleAttempt) -> None:
        """Somebody else has the event by now; there is nothing to be done about it."""
        self._settled = self._settled or "lost"
        say(f"event {self.seq} ({self.type}) is no longer held here: {error}")

    def _failed(self, kind: Kind, error: BaseException, trace: TracebackType | None) -> str:
        """Tells of an exception in the block; the text that goes with the nack."""
        import traceback

        lines = traceback.format_exception(kind, error, trace)
        say(
            f"event {self.seq} ({self.type}), attempt {self.attempt}, failed and is given back\n"
            + "".join(lines).rstrip()
        )
        return f"{kind.__name__}: {error}"[:REASON_LENGTH]


def say(text: str) -> None:
    """A line (or more) for the log of the agent, its stderr."""
    try:
        os.write(2, f"adaptive_runtime: {text}\n".encode(errors="backslashreplace"))
    except OSError:
        pass
