"""How often the agent's own calls are tried again: the rule, without the waiting."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    RetryOn = Union[type[BaseException], tuple[type[BaseException], ...]]

MAX_RETRIES = 3
BASE_DELAY_SECONDS = 1.0


class RetryPolicy:
    """`max_retries` tries in all; `base_delay` seconds after the first, then twice as long."""

    def __init__(self) -> None:
        self.max_retries = MAX_RETRIES
        self.base_delay = BASE_DELAY_SECONDS

    def delays(self) -> list[float | None]:
        """The wait after each try that failed; None after the last."""
        if self.max_retries < 1:
            raise ValueError(f"max_retries is the number of tries, not {self.max_retries}")
        waits: list[float | None] = [self.base_delay * 2**n for n in range(self.max_retries - 1)]
        return [*waits, None]
