"""What calls give back: their members are attributes, as in `checkpoint.id`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Record:
    """A result of adrt's; a member it didn't send is None."""

    def __init__(self, members: dict[str, Any]) -> None:
        self.__dict__.update(members)

    def __getattr__(self, name: str) -> Any:
        # Only asked for what __init__ didn't set.
        if name in type(self).__annotations__:
            return None
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def model_dump(self) -> dict[str, Any]:
        """The members as a dict of your own."""
        return {
            name: value.model_dump() if isinstance(value, Record) else value
            for name, value in self.__dict__.items()
        }

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({inside})"


class Checkpoint(Record):
    """A snapshot of the state; `created`, `reason` and so on where a list was asked for."""

    id: int
    version: int
    bytes: int
    label: str | None
    created: str | None
    reason: str | None


class Emitted(Record):
    """What became of an event that was emitted; nothing yet, within an event's block."""

    seq: int | None
    """Its number in this agent's inbox."""
    duplicate: bool | None
    """There was one with its source and id: this one was dropped."""
    outbox_id: int | None
    """Its number on the way to another agent."""


class PastEvent(Record):
    """An event of `event_history`."""

    seq: int
    status: str
    """pending, held, parked, acked or dead."""
    attempt: int
    at: str
    event: dict[str, Any]
    last_error: str | None


class History(list):  # type: ignore[type-arg]
    """A page of past events, newest first; `next` is the `after=` of the page that follows."""

    next: int | None

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(map(PastEvent, answer["events"]))
        self.next = answer.get("next")


class StartInfo(Record):
    """How this incarnation came to be."""

    agent: str
    run_id: str
    incarnation: int
    """1, 2, 3 … over the agent's life."""
    reason: str
    """first, resume, crash, hang, operator, rollback, restart or damaged."""
    exit: dict[str, Any] | None
    """How the incarnation before ended: code, signal, oom, core."""
    crashes_in_row: int
    downtime_ms: int
    safe_mode: bool
    """It has crashed again and again: do as little as possible."""
    checkpoint: Checkpoint | None
    """The newest one."""
    pending: dict[str, Any] | None
    """What waits for this incarnation: `events` (how many), `reviews` and `steps`."""


def start_info(reply: dict[str, Any]) -> StartInfo:
    """The part of `initialize`'s answer that tells about the start."""
    members = {name: reply.get(name) for name in ("agent", "run_id", "incarnation", "pending")}
    members.update(reply.get("start") or {})
    newest = reply.get("checkpoint")
    members["checkpoint"] = None if newest is None else Checkpoint(newest)
    return StartInfo(members)
