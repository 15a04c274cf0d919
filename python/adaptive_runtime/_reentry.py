"""Calls from a signal handler that has interrupted another call of the same kind."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

REENTRANT = (
    "adrt was called from a signal handler that interrupted another call of it; "
    "set a flag in the handler and act on it outside"
)


def called_from(*functions: Callable[..., Any]) -> bool:
    """Whether one of these is under way further down this thread's stack.

    Their own marks say so too, but a handler that raises in the wrong moment
    leaves a mark behind.
    """
    codes = [function.__code__ for function in functions]
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        frame = frame.f_back
        if frame is not None and frame.f_code in codes:
            return True
    return False
