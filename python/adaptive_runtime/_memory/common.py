"""What all parts of the memory store use: refusals, the way back, the time."""

from __future__ import annotations

import datetime
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CODES = {
    "invalid_request": -32600,
    "method_not_found": -32601,
    "invalid_params": -32602,
    "key_reused": -32602,
    "unsupported_protocol": 1001,
    "already_initialized": 1003,
    "version_conflict": 1101,
    "patch_failed": 1102,
    "too_large": 1103,
    "stale_attempt": 1201,
    "unknown_event": 1202,
    "unknown_agent": 1203,
    "inbox_full": 1204,
    "step_mismatch": 1301,
    "step_in_progress": 1302,
    "unknown_checkpoint": 1401,
    "store_failed": 1501,
}
"""The number on the wire by kind."""


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, kind: str, message: str, *, retryable: bool = False, **data: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable
        self.data = data


class Undo:
    """How to take back what the request under way has done so far."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def add(self, step: Callable[[], object]) -> None:
        """Notes how to take back what comes next."""
        self._steps.append(step)

    def put(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        """Puts a value into a table."""
        if key in table:
            before = table[key]
            self.add(lambda: table.__setitem__(key, before))
        else:
            self.add(lambda: table.pop(key))
        table[key] = value

    def take(self, table: dict[Any, Any], key: Any) -> None:
        """Takes a value out of a table."""
        before = table.pop(key)
        self.add(lambda: table.__setitem__(key, before))

    def set(self, owner: Any, **members: Any) -> None:
        """Changes attributes of an object."""
        for name, value in members.items():
            before = getattr(owner, name)
            self.add(lambda name=name, before=before: setattr(owner, name, before))  # type: ignore[misc]
            setattr(owner, name, value)

    def back(self) -> None:
        """Takes it all back."""
        while self._steps:
            self._steps.pop()()

    def forget(self) -> None:
        """It stays."""
        self._steps.clear()


class Clock:
    """Seconds since 1970, never backwards; a test may move it on."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """The time."""
        return time.monotonic() + self._offset

    def move_on(self, seconds: float) -> None:
        """Makes it later."""
        self._offset += seconds


def rfc3339(moment: float) -> str:
    """A time as the wire has it."""
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).isoformat()


def from_rfc3339(text: str) -> float:
    """And back."""
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise Refused("invalid_params", f"at is no RFC 3339 time: {error}") from None
    if moment.tzinfo is None:
        raise Refused("invalid_params", f"at has no time zone: {text}")
    return moment.timestamp()


def whole(text: dict[str, Any], name: str) -> Any:
    """A member that has to be there."""
    if name not in text:
        raise Refused("invalid_params", f"{name} is missing")
    return text[name]
