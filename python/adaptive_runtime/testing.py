"""Tests of agents: crash them on purpose, and see what they come back with.

    # conftest.py
    pytest_plugins = ["adaptive_runtime.testing"]

    # test_agent.py
    def test_counts_on(adrt):
        with adrt.crash_after(3):
            my_agent.main()                  # dies with its 4th write
        my_agent.main()                      # a second incarnation
        assert adrt.state["n"] == 10

    def test_an_event_is_paid_for_once(adrt):
        adrt.emit({"type": "order", "n": 1})
        with adrt.crash_after(2):            # between the step and the ack
            my_agent.main()
        my_agent.main()
        assert adrt.events[0].status == "acked"

An agent that goes over `events()` is told to end when there are none left.
One that waits for a person (`review()`) and is answered by nobody is ended, too,
by SystemExit; `approve` and start it again, or say beforehand who answers:
`adrt.on_review(lambda review: adrt.approve(review.id))`.

Time is the test's: events that come back later (after a nack, a `delay=`, a
`park(after=)`) come at once, and timers go off when `adrt.advance` says so.

While the fixture is in use, every `Agent()` and `Runtime(…)` of this process
works on one memory store and finds there what the one before it was told was
saved. Without pytest: `with Adrt() as adrt: …`.
"""

from __future__ import annotations

from . import _link
from ._errors import Crash
from ._memory import MemoryStore
from ._results import PastEvent, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["Adrt", "Crash", "MemoryStore"]


class Adrt:
    """A stand-in for adrt in the process of the test."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.store.ends_when_idle = True

    @property
    def state(self) -> dict[str, Any]:
        """What has been saved."""
        return self.store.state

    @property
    def finished(self) -> bool:
        """Whether the agent has said that it is done."""
        return self.store.is_finished

    # --------------------------------------------------------- events

    def emit(self, event: dict[str, Any], *, delay: float = 0) -> int:
        """Puts an event into the agent's inbox; its number."""
        seq: int = self.store.emit(event, delay)["seq"]
        return seq

    @property
    def events(self) -> list[PastEvent]:
        """All events and what has become of them, oldest first."""
        return [PastEvent(entry.shown()) for entry in self.store.inbox.entries.values()]

    @property
    def dead(self) -> list[PastEvent]:
        """The dead letters among them."""
        return [event for event in self.events if event.status == "dead"]

    @property
    def sent(self) -> list[dict[str, Any]]:
        """What was emitted to other agents: `to` and `event`."""
        return self.store.outbox

    def advance(self, seconds: float) -> None:
        """Lets time pass: timers that are due by then go off."""
        self.store.move_on(seconds)
        self.store.fire()

    def approve(self, review_id: int, answer: Any = None, note: str | None = None) -> None:
        """Does as a person would."""
        self.store.settle_review(review_id, "approved", answer, note, "the test")

    def reject(self, review_id: int, answer: Any = None, note: str | None = None) -> None:
        """Does as a person would."""
        self.store.settle_review(review_id, "rejected", answer, note, "the test")

    @property
    def reviews(self) -> list[PendingReview]:
        """What waits for a person."""
        return [_pending(self.store, number) for number in self.store.reviews.pending()]

    def on_review(self, person: Callable[[PendingReview], object]) -> None:
        """Has `person` called with each review that the agent waits for.

        It may `approve(review.id)` or `reject` it. An agent that waits for a
        review nobody settles is told to end, as one that waits for an event.
        """
        self.store.on_review = lambda number: person(_pending(self.store, number))

    def set_environment(
        self, level: str, score: float = 0.0, signals: dict[str, Any] | None = None
    ) -> None:
        """Puts the machine under pressure, or calms it."""
        self.store.set_environment(level, score, signals)

    def stop(self) -> None:
        """Tells the agent to end, as `adrt stop` does."""
        self.store.shut_down()

    # -------------------------------------------------------- crashes

    def crash_after(self, writes: int, *, lost_reply: bool = False) -> _CrashAfter:
        """The agent dies with the write after so many acknowledged ones.

        That write isn't there; with `lost_reply` it is, and only its
        acknowledgement never came, which is what a `key` is for. To the agent
        the crash is a `Crash`, which is no `Exception`; the `with` block ends
        with it, and fails if no crash happened.
        """
        if writes < 0:
            raise ValueError("the number of writes before the crash is 0 or more")
        return _CrashAfter(self.store, writes, lost_reply)

    def __enter__(self) -> Adrt:
        self._before = _link.default_store
        _link.default_store = self.store
        return self

    def __exit__(self, *_: object) -> None:
        _link.default_store = self._before


class PendingReview(Record):
    """A question to a person."""

    id: int
    prompt: str
    options: list[Any] | None
    key: str | None
    decision_id: int | None


def _pending(store: MemoryStore, number: int) -> PendingReview:
    asked = store.reviews.get(number)
    members = {name: asked[name] for name in ("prompt", "options", "key", "decision_id")}
    return PendingReview({"id": number, **members})


class _CrashAfter:
    def __init__(self, store: MemoryStore, writes: int, lost_reply: bool) -> None:
        self._store = store
        self._left = writes
        self._lost_reply = lost_reply

    def __enter__(self) -> None:
        self._store.before_write = self._before
        self._store.after_write = self._after

    def _before(self) -> None:
        if self._left == 0 and not self._lost_reply:
            raise Crash("simulated by crash_after")

    def _after(self) -> None:
        if self._left == 0:
            raise Crash("simulated by crash_after, the reply being lost")
        self._left -= 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._store.before_write = self._store.after_write = None
        if kind is None:
            raise AssertionError(
                f"the agent ended before it crashed: {self._left} writes more were to come first"
            )
        return issubclass(kind, Crash)


def _fixture() -> Iterator[Adrt]:
    """An adrt for one test."""
    with Adrt() as stand_in:
        yield stand_in


adrt: Callable[..., Any]
try:
    import pytest
except ImportError:  # then there is no fixture, and `Adrt` does as well
    pass
else:
    adrt = pytest.fixture(name="adrt")(_fixture)
    __all__.append("adrt")
