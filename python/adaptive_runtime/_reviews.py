"""Reviews: questions to a person, and how their answers come.

```
   review.request ──► pending ──► … review.resolved … ──► review.get ──► Review
        └──────────── settled, maybe long ago ─────────────────┘
```

The notification comes outside of credit, so a handler may wait for it while
it holds the only event it is given. After a crash the same question, known by
its key, is the same review: its answer is there, or is waited for again.

What waits is listening before the question is asked: an answer may come in
the same read as its number.
"""

from __future__ import annotations

from . import _engine_requests
from ._engine_results import review as result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ._engine_results import Review
    from ._event_requests import Seconds
    from ._events import HeldEvent
    from ._link import Flow, Link

_NAME = "#review"
"""Numbers the reviews of an event's attempt; no step can be called this."""


class ReviewCall:
    """One call of `review()`: the parts that don't depend on how waiting is done."""

    def __init__(
        self,
        link: Link,
        event: HeldEvent | None,
        prompt: str,
        options: Sequence[Any] | None,
        key: str | None,
        timeout: Seconds | None,
        default: str,
        decision: Any,
    ) -> None:
        if key is None and event is not None:
            # The order of the calls, as with steps: the next attempt asks the same.
            key = f"event {event.seq} {event._numbers.next(_NAME)[1:]}"
        self.event = event
        self.id = 0
        self.review: Review | None = None
        self.heard: set[int] = set()
        """Reviews that have been settled since this one listens."""
        self._link = link
        self._request = _engine_requests.review(prompt, options, timeout, default, decision, key)

    @property
    def done(self) -> bool:
        """There is no more to wait for."""
        return self.id in self.heard or self._link.stopping

    @property
    def patience(self) -> float | None:
        """Seconds after which the event's lease is to be renewed."""
        lease = None if self.event is None else self.event.lease_ms
        return None if lease is None else lease / 1000 / 2

    def ask(self) -> Flow:
        """Asks; the answer may be there."""
        answer = yield self._request
        self.id = answer["review_id"]
        self._link.know_review(self.id)
        if answer["status"] != "pending":
            yield from self.look()

    def look(self) -> Flow:
        """Sees how it stands; `review` is set if it is settled."""
        answer = yield _engine_requests.review_state(self.id)
        if answer["status"] != "pending":
            self.review = result(self.id, answer)
        self.heard.discard(self.id)
