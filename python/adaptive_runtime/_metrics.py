"""What a client has done since it started, as numbers."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._engine_results import Processed
    from ._link import Link

NAMES_KEPT = 1_000
"""Types and actions that are counted apart; an agent whose types are made up by others
must not grow without bound."""
OTHERS = "…"


class Metrics:
    """Counts, and the link that knows the rest."""

    def __init__(self) -> None:
        self.checkpoints = 0
        self._link: Link | None = None
        self._started = 0.0
        self._ended: float | None = None
        self._processed = 0
        self._decisions: dict[int, None] = {}  # the latest
        self._confidence = 0.0
        self._counts: dict[str, dict[str, int]] = {
            name: {} for name in ("type", "action", "priority", "verdict")
        }

    def begin(self, link: Link) -> None:
        """The client is connected."""
        self._link = link
        self._started, self._ended = time.monotonic(), None

    def end(self) -> None:
        """It no longer is."""
        if self._ended is None:
            self._ended = time.monotonic()

    def processed(self, result: Processed) -> None:
        """An event has been processed; once, however often it was asked for."""
        if result.decision_id in self._decisions:
            return
        self._decisions[result.decision_id] = None
        if len(self._decisions) > NAMES_KEPT:
            del self._decisions[next(iter(self._decisions))]
        self._processed += 1
        self._confidence += result.confidence
        self.checkpoints += bool(result.checkpoint_created)
        for name, value in (
            ("type", result.event_type),
            ("action", result.action),
            ("priority", result.priority),
            ("verdict", result.verdict),
        ):
            counts = self._counts[name]
            if value not in counts and len(counts) >= NAMES_KEPT:
                value = OTHERS
            counts[value] = counts.get(value, 0) + 1

    def summary(self) -> dict[str, Any]:
        """All of it, as `metrics_summary` gives it."""
        link = self._link
        info = None if link is None else link.info
        until = time.monotonic() if self._ended is None else self._ended
        return {
            "agent": None if info is None else info.agent,
            "events_processed": self._processed,
            **{f"by_{name}": dict(counts) for name, counts in self._counts.items()},
            "average_confidence": self._confidence / self._processed if self._processed else None,
            "checkpoints": self.checkpoints,
            "state_version": None if link is None else link.mirror.version,
            "environment": None if link is None else link.environment.level,
            "restarts": None if info is None else info.incarnation - 1,
            "crashes_in_row": None if info is None else info.crashes_in_row,
            "uptime_seconds": 0.0 if link is None else until - self._started,
        }
