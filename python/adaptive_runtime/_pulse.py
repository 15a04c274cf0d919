"""Signs of life, for `adrt run --hang-timeout`.

Said where the program itself comes by: from its event loop, or while it waits
for something here. Never from a thread of its own, which would beat on for a
program that hangs.
"""

from __future__ import annotations

import time

from . import _requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._core import Core

BEATS_PER_TIMEOUT = 3
"""Signs of life within the time-out: one that comes late is no end."""


class Pulse:
    """When the next sign is due, if adrt waits for any."""

    def __init__(self, core: Core) -> None:
        self.seconds: float | None = None
        self._core = core
        self._last = 0.0
        self._frame = _requests.heartbeat(None, None, None).notification()

    def begin(self, timeout_ms: int | None) -> None:
        """From now on they are due, so often that the time-out never ends."""
        self.seconds = timeout_ms / 1000 / BEATS_PER_TIMEOUT if timeout_ms else None
        self._last = time.monotonic()

    def beat(self) -> None:
        """Says that the program is alive, if it is time to."""
        if self.seconds is None:
            return
        now = time.monotonic()
        # A loop's timer may come a little early.
        if now - self._last >= self.seconds / 2:
            self._last = now
            self._core.put_if_idle(self._frame)

    def until(self, seconds: float | None) -> float | None:
        """How long may be waited at a time, if all in all so long."""
        if self.seconds is None:
            return seconds
        return self.seconds if seconds is None else min(seconds, self.seconds)
