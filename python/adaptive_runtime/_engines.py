"""The engines by their names, as parts of a `Runtime`."""

from __future__ import annotations

import asyncio
import inspect

from ._results import Checkpoint
from ._retry import RetryPolicy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, TypeVar, Union

    from ._state import StateDict
    from .runtime import Runtime

    T = TypeVar("T")


class StateEngine:
    """What the agent remembers. Everything returned as done is on the disk."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def current(self) -> StateDict:
        """The state, read-only and live: what adrt has acknowledged so far."""
        return self._runtime.state

    async def save_state(self, state: dict[str, Any]) -> int:
        """Puts these top-level members in place, leaving the others; the new version."""
        return await self._runtime.patch(state, format="shallow")

    async def load_state(self) -> dict[str, Any]:
        """A copy of the state, with all that was asked for before this."""
        return await self._runtime.copy_of_state()

    async def patch_state(self, patch: dict[str, Any]) -> int:
        """The same as `save_state`."""
        return await self._runtime.patch(patch, format="shallow")

    async def reset_state(self) -> int:
        """Forgets everything; older versions and checkpoints stay."""
        return await self._runtime.replace({})


class RecoveryEngine(RetryPolicy):
    """Coming back: checkpoints, and calls that are tried again."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self._runtime = runtime

    async def create_checkpoint(
        self, state: dict[str, Any] | None = None, label: str | None = None
    ) -> Checkpoint:
        """Saves these members, if any are given, and keeps the state; both or neither."""
        if state is None:
            return await self._runtime.checkpoint(label)
        return await self._runtime.checkpoint_of(state, label)

    async def restore_latest(self) -> dict[str, Any]:
        """The newest state on the disk, checkpoint and all after it. Never goes back."""
        return await self._runtime.copy_of_state()

    async def restore(self, checkpoint_id: int) -> dict[str, Any]:
        """Goes back to a checkpoint, as a new version; the state as it then is."""
        await self._runtime.restore(checkpoint_id)
        return await self._runtime.copy_of_state()

    async def retry(
        self,
        fn: Callable[[], Union[T, Awaitable[T]]],
        fallback: Callable[[], Union[T, Awaitable[T]]] | None = None,
        *,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    ) -> T:
        """Calls (and awaits) `fn` until it works, `max_retries` times at most.

        After the last failure `fallback` gives the result; without one, the
        exception is raised.
        """
        for delay in self.delays():
            try:
                return await _outcome(fn)
            except retry_on:
                if delay is None and fallback is None:
                    raise
            if delay is not None:
                await asyncio.sleep(delay)
        assert fallback is not None
        return await _outcome(fallback)


async def _outcome(fn: Callable[[], Union[T, Awaitable[T]]]) -> T:
    result: Any = fn()
    if inspect.isawaitable(result):
        result = await result
    outcome: T = result
    return outcome
