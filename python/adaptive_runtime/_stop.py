"""Being told to end.

adrt says `shutdown`, then SIGTERM, then kills. A program that does nothing
about it should end in good order all the same: acknowledgements on their way
are waited for, `finally` blocks and context managers run, the exit code is
that of SIGTERM. That is done here if, and only if, SIGTERM still has its
default action when the client starts, on the main thread; a program with a
handler of its own, or one that looks at `stopping`, ends itself.
"""

from __future__ import annotations

import os

try:
    import _signal as signal  # type: ignore[import-not-found, unused-ignore]
except ImportError:  # not CPython
    import signal  # type: ignore[no-redef, unused-ignore]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_CODE = 128 + signal.SIGTERM
"""What a shell calls the end by SIGTERM."""


class Terminator:
    """Our handler of SIGTERM, if it may be ours."""

    def __init__(self, on_term: Callable[[], None]) -> None:
        self._on_term = on_term
        self.installed = False

    def install(self) -> None:
        """Does nothing off the main thread, or where somebody else has a handler."""
        if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
            return
        try:
            signal.signal(signal.SIGTERM, self._handle)
        except ValueError:  # not the main thread
            return
        self.installed = True
        _guard_forks()

    def remove(self) -> None:
        """Puts the default action back, if the handler is still ours."""
        if self.installed:
            self.installed = False
            try:
                if signal.getsignal(signal.SIGTERM) == self._handle:
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
            except (ValueError, TypeError):  # another thread, or the very end
                pass

    def _handle(self, _number: int, _frame: object) -> None:
        self._on_term()


_guarded = False
_mask: list[set[int]] = []


def _guard_forks() -> None:
    """Makes SIGTERM wait while a fork happens.

    A forked child begins with our handler, and Python forgets what signals
    came before the child was set up: a SIGTERM right after the fork would be
    lost. It waits until `remove` has been called there.
    """
    global _guarded
    if not _guarded:
        _guarded = True
        os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_let_go)


def _hold() -> None:
    _mask.append(signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}))


def _let_go() -> None:
    if _mask:
        signal.pthread_sigmask(signal.SIG_SETMASK, _mask.pop())
