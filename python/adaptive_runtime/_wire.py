"""The pipe to adrt: taking it off stdin and stdout, and moving bytes.

When adrt starts a process, fd 0 and 1 are the wire and fd `ADRT_TEXT_FD` is a
pipe for ordinary output. `take_over` moves the wire out of everybody's way
(descriptors of 10 and above, closed on exec), so that neither print() nor C
code nor a child can write into it or eat from it, and never moves it back.

No thread reads the wire. Whoever waits for an answer reads (see `_core`): a
thread would add two switches to every round trip, make every fork of the
agent's unsafe (and warned of by Python 3.12), and have to be ended at exit.

The descriptors don't block, and these calls don't either: an agent that only
writes, to an adrt that waits for it to read, would otherwise stop for ever.
"""

from __future__ import annotations

import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from ._errors import AdrtError

    class Transport(Protocol):
        """Where the frames go to and come from."""

        read_fd: int
        """What to watch for things to read; -1 where there is no descriptor."""
        write_fd: int

        # `os.read` and `os.write` where there are descriptors, not wrapped:
        # why is told in `_core`.
        @property
        def read(self) -> Callable[[int, int], bytes]: ...
        @property
        def write(self) -> Callable[[int, memoryview], int]: ...

        def wait(self, write: bool, timeout: float | None) -> None:
            """Returns when there is something to read (or to write), or after `timeout` s."""

        def expect_events(self) -> None:
            """The program has nothing to do but to wait for the next event."""

        supervised: bool
        """Whether adrt has started this process, and tells it when to end."""

        owned: bool
        """Whether the other side is a process of ours, to be ended."""

        def await_others(self, change: int) -> None:
            """One caller more (1), or one fewer (-1), waits for what others than it do."""

        def gone(self) -> str:
            """Why nothing more will come, now that the other end is closed."""

        def not_begun(self, error: AdrtError) -> AdrtError:
            """What to raise if the other end was closed before it has said anything."""

        def let_go(self) -> None:
            """Lets go of the other side, and waits for it if it is a process of ours."""

        def close(self) -> None:
            """Closes the descriptors."""

    class Awaited(Protocol):
        """What reading the wire may bring: an answer, an event."""

        @property
        def done(self) -> bool: ...


LOWEST_FD = 10
"""Shell scripts use the descriptors below for their own purposes."""


GONE = "adrt closed the wire: it has stopped, or is stopping this agent"


class Wire:
    """Two descriptors to adrt."""

    supervised = True
    owned = False
    read = staticmethod(os.read)
    write = staticmethod(os.write)

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)
        self._readable = select.poll()
        self._readable.register(read_fd, select.POLLIN)

    def wait(self, write: bool, timeout: float | None) -> None:
        poll = self._readable  # one waits to read at a time; to write, any number
        if write:
            poll = select.poll()
            poll.register(self.read_fd, select.POLLIN)
            poll.register(self.write_fd, select.POLLOUT)
        poll.poll(None if timeout is None else max(0, timeout * 1000))

    def expect_events(self) -> None:
        pass  # adrt knows by itself; only a stand-in without a descriptor does not

    def await_others(self, change: int) -> None:
        pass  # the same

    def gone(self) -> str:
        return GONE

    def not_begun(self, error: AdrtError) -> AdrtError:
        return error

    def let_go(self) -> None:
        pass  # it is this process's for life

    def close(self) -> None:
        for fd in (self.read_fd, self.write_fd):
            if fd >= 0:
                os.close(fd)
        self.read_fd = self.write_fd = -1


class Found:
    """What the import found out about this process; `wire` is None if there is no wire."""

    __slots__ = ("on_forget", "pid", "token", "why_not", "wire")

    def __init__(self) -> None:
        self.wire: Wire | None = None
        self.on_forget: Callable[[str], None] | None = None
        self.token = ""
        self.pid = 0
        self.why_not = ""


found = Found()


def take_over() -> None:
    """Moves the wire off fd 0 and 1, if adrt started this very process.

    Without `ADRT_TOKEN` in the environment this does nothing at all.
    """
    token = os.environ.pop("ADRT_TOKEN", None)
    if token is None:
        return
    text_fd = os.environ.pop("ADRT_TEXT_FD", "")
    marks = os.environ.pop("ADRT_WIRE", "")
    expected = marks.split(",") if marks else []
    if expected and [_mark(0), _mark(1)] != expected[:2]:
        found.why_not = (
            "stdin or stdout is no longer the pipe adrt made: a launcher between adrt and this "
            "process closed or replaced it. Let the launcher exec Python and leave both alone "
            "(no |, no redirection), or start Python directly: adrt run -- python3 agent.py"
        )
        os.write(2, f"adaptive_runtime: not connected: {found.why_not}\n".encode())
        return
    text = int(text_fd) if text_fd.isdigit() else -1
    if text >= 0 and not _mark(text) or (len(expected) > 2 and _mark(text) != expected[2]):
        text = -1
    found.wire = _move(text)
    found.token = token
    found.pid = os.getpid()
    os.register_at_fork(after_in_child=_forget)


def _mark(fd: int) -> str:
    try:
        status = os.fstat(fd)
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"


def _move(text: int) -> Wire:
    import fcntl

    wire = Wire(
        fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, LOWEST_FD),
        fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, LOWEST_FD),
    )
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    # What stdio has buffered by now comes out on the new fd 1, as text.
    os.dup2(text if text >= 0 else 2, 1)
    if text > 2:
        os.close(text)
    return wire


def _forget() -> None:
    """In a forked child: the wire is its parent's."""
    if found.wire is not None:
        found.wire.close()
        found.wire = None
        found.why_not = (
            f"this process was forked from the agent (pid {found.pid}), and only the agent "
            "itself speaks with adrt: hand results to it, by a queue or a return value"
        )
        if found.on_forget is not None:
            found.on_forget(found.why_not)


def why_not_connected() -> str:
    """Why there is no wire here, and what to do; "" where there never was to be one."""
    if found.why_not:
        return found.why_not
    if "ADRT_INCARNATION" in os.environ:
        return (
            "this process is a child of a supervised agent, and only the agent itself speaks "
            "with adrt: hand results to it, by a queue or a return value"
        )
    return ""
