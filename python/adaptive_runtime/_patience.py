"""How long and how often a request that was refused for a while is asked again."""

from __future__ import annotations

import os
import time

from ._errors import InboxFull, StoreFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._requests import Request

_WAITED_OUT = (StoreFailed, InboxFull)


class Patience:
    """How long and how often a refusing disk, or a full inbox, is asked again."""

    FIRST_SECONDS = 0.1
    LONGEST_SECONDS = 5.0

    __slots__ = ("_delay", "_end", "_timeout")

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._end: float | None = None
        self._delay = self.FIRST_SECONDS

    def delay(self, error: BaseException) -> float | None:
        """Seconds to wait before asking again; None if the error is to be raised."""
        if not (isinstance(error, _WAITED_OUT) and error.retryable):
            return None
        now = time.monotonic()
        if self._end is None:
            self._end = now + self._timeout
        if now >= self._end:
            return None
        delay = min(self._delay, self._end - now)
        self._delay = min(self._delay * 2, self.LONGEST_SECONDS)
        return delay


def again(request: Request) -> Request:
    """The request to ask again with: with a key, a repeat can't apply twice."""
    return request.with_key("again-" + os.urandom(12).hex())
