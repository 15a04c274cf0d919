"""adrt's side of the wire, in this process: for tests, and for machines without adrt.

`MemoryStore` answers the same lines with the same lines, so that the clients
don't know the difference. It keeps what an agent would find after a restart
for as long as the object lives; nothing reaches a disk, nothing is supervised.

`store` puts together what the others keep: `states` (state and checkpoints),
`inbox` (events), `steps`, `timers`, `kept` (the key-value store). All of them
note in `undo` how to take back what they do. `wire` is the connection.
"""

from __future__ import annotations

from .store import MemoryStore
from .wire import Connection

__all__ = ["Connection", "MemoryStore", "warn_once"]

_warned = False


def warn_once() -> None:
    """Says that nothing will be kept, the first time."""
    global _warned
    if _warned:
        return
    _warned = True
    import warnings

    warnings.warn(
        "adaptive_runtime keeps everything in memory: it is gone when this process ends, "
        "and nobody restarts it. Run it under adrt to keep it: adrt run -- python3 agent.py",
        RuntimeWarning,
        stacklevel=4,
    )
