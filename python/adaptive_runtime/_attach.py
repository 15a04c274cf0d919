"""adrt as a child of this process, where it is not the parent.

    python3 agent.py

Without `adrt run` around it a program still has its memory, its events and
its engines: a client starts `adrt attach -n NAME`, which speaks the same wire
on its own stdin and stdout. What it doesn't have is anybody who would start
it again.

```
   find() ──► Attached: two pipes ──► the wire, as ever
                  │
                  ├─ let_go(), the end of this process ──► EOF ──► adrt ends in good order
                  └─ adrt ends by itself ──► Disconnected, with how it ended
```

The child is in a process group of its own, so that Ctrl-C in a terminal
reaches the program and not adrt: whatever the program still says on its way
out is taken down. SIGTERM stays what the program makes of it.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from ._errors import AdrtError, NotConnected
from ._wire import LOWEST_FD, Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

END_SECONDS = 10.0
"""How long adrt may take to end when it is let go of: a last checkpoint on a slow disk."""
TERM_SECONDS = 5.0
"""And how long when it has been told to with SIGTERM, before SIGKILL."""
REAP_SECONDS = 1.0
"""How long after its pipe has closed its exit status is waited for."""
LONGEST_NAME = 64

ENDINGS = (".py", ".pyw", ".pyz")

GET_IT = (
    "Get adrt with `pip install adaptive-runtime` (or name it in ADRT_BIN), and start the "
    "program as it is or under it, adrt run -- python3 agent.py, which also restarts it. To "
    'keep everything in memory instead, for a test, set ADRT=off or pass backend="memory"'
)

_MEANINGS: dict[int | None, str] = {
    2: "it doesn't know `attach`: it is another program, or an older one",
    73: "the state directory can't be made; ADRT_STATE_DIR names another",
    74: "the store can't be used; adrt doctor tells more",
    75: "another process has this agent, and an agent is one process at a time",
    78: "its configuration is no good",
}
"""Exit codes of adrt's."""


class Attached(Wire):
    """A running `adrt attach` and the pipes to it."""

    supervised = False
    owned = True

    def __init__(self, program: str, name: str) -> None:
        self.token = os.urandom(16).hex()
        self.on_forget: Callable[[str], None] | None = None
        self._name = name
        self._status: int | None = None
        self._over = False
        self.pid, read_fd, write_fd = _spawn(program, name, self.token)
        super().__init__(read_fd, write_fd)
        _live.append(self)
        _watch_this_process()

    def gone(self) -> str:
        """How it has ended."""
        self._wait(REAP_SECONDS)
        how = "it closed its end" if self._status is None else _how(self._status)
        return f"adrt attach -n {self._name} is gone ({how})"

    def let_go(self) -> None:
        """Has it end, and waits for that. What was written before is still carried out."""
        if self.write_fd < 0:
            return
        os.close(self.write_fd)
        self.write_fd = -1
        for seconds, number in ((END_SECONDS, signal.SIGTERM), (TERM_SECONDS, signal.SIGKILL)):
            end = time.monotonic() + seconds
            self._drain(end)
            if self._wait(end - time.monotonic()):
                break
            os.kill(self.pid, number)
        self._wait(REAP_SECONDS)
        self.close()
        if self in _live:
            _live.remove(self)

    def forget(self) -> None:
        """In a forked child: it is the parent's."""
        self.close()
        if self.on_forget is not None:
            self.on_forget(
                f"this process was forked from the agent (pid {os.getppid()}), and only that one "
                "speaks with its adrt: hand results to it, by a queue or a return value; or make "
                "an agent of this process, too, with another name"
            )

    def _drain(self, end: float) -> None:
        """Reads what it still says, until it has closed its end."""
        try:
            while True:
                try:
                    if not os.read(self.read_fd, 65536):
                        return
                except BlockingIOError:
                    left = end - time.monotonic()
                    if left <= 0:
                        return
                    self.wait(False, left)
        except OSError:
            pass

    def _wait(self, seconds: float) -> bool:
        """Takes its exit status; whether it has come in time.

        Looks often, and no longer than a moment where all is well: it has
        closed its end.
        """
        end = time.monotonic() + seconds
        while not self._over:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else has taken it
                self._over = True
                break
            if pid:
                self._over, self._status = True, status
            elif time.monotonic() >= end:
                break
            else:
                time.sleep(0.001)
        return self._over

    def not_begun(self, error: AdrtError) -> AdrtError:
        """Why there is no connection, as far as the exit code tells."""
        code = _code(self._status)
        why = _MEANINGS.get(code, "what it has said on stderr may tell why")
        return NotConnected(f"{error}: {why}")


# ------------------------------------------------------------ starting


def start(agent_id: str | None) -> Attached:
    """Starts adrt for an agent of this name, or of this program's."""
    name = _own_name() if agent_id is None else _checked(agent_id)
    return Attached(find(), name)


def find() -> str:
    """Where adrt is: `ADRT_BIN`, on the PATH, or beside this Python."""
    named = os.environ.get("ADRT_BIN")
    if named:
        if _is_program(named):
            return named
        raise NotConnected(f"ADRT_BIN is {named}, and that is no program. {GET_IT}")
    for directory in (*os.get_exec_path(), os.path.dirname(sys.executable or "")):
        program = os.path.join(directory or ".", "adrt")
        if _is_program(program):
            return program
    raise NotConnected(
        f"adrt did not start this process, and there is no adrt on the PATH to start. {GET_IT}"
    )


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _own_name() -> str:
    """The program's, as `adrt run` would call it."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python3 -m pkg.mod
        stem = str(spec.name)
        return _checked(stem[: -len(".__main__")] if stem.endswith(".__main__") else stem)
    script = sys.argv[0] if sys.argv and getattr(main, "__file__", None) else ""
    directory, stem = os.path.split(script)
    if stem == "__main__.py":
        stem = os.path.basename(os.path.abspath(directory))
    for ending in ENDINGS:
        if stem.endswith(ending):
            stem = stem[: -len(ending)]
            break
    if not stem:
        raise ValueError("this program has no name that its agent could have: pass agent_id=")
    return _checked(stem)


def _checked(name: str) -> str:
    allowed = isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isascii()
    if not allowed or not name[0].isalnum() or not all(c.isalnum() or c in "._-" for c in name):
        raise ValueError(
            f"{name!r} can't be an agent's name: letters, digits, '.', '_' and '-', the first a "
            f"letter or digit, {LONGEST_NAME} at most; pass another agent_id="
        )
    return name


def _spawn(program: str, name: str, token: str) -> tuple[int, int, int]:
    """Pid, and the descriptors to read and to write."""
    ends: list[int] = []
    try:
        for _ in range(2):
            ends += map(_raised, os.pipe())
        theirs_in, ours_out, ours_in, theirs_out = ends
        pid = os.posix_spawn(
            program,
            [program, "attach", "-n", name],
            {**os.environ, "ADRT_TOKEN": token},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs_in, 0),
                (os.POSIX_SPAWN_DUP2, theirs_out, 1),
            ],
            setpgroup=0,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD],
        )
    except OSError as error:
        for fd in ends:
            os.close(fd)
        raise NotConnected(f"{program} can't be started ({error.strerror}). {GET_IT}") from None
    os.close(theirs_in)
    os.close(theirs_out)
    return pid, ours_in, ours_out


def _raised(fd: int) -> int:
    """A descriptor out of everybody's way; 0 to 2 might have been free."""
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, LOWEST_FD)
    finally:
        os.close(fd)


# ------------------------------------------------------------- the end


def _code(status: int | None) -> int | None:
    if status is None or not os.WIFEXITED(status):
        return None
    return os.WEXITSTATUS(status)


def _how(status: int) -> str:
    code = _code(status)
    if code is not None:
        return f"exit code {code}"
    number = os.WTERMSIG(status)
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"killed by signal {number}"


_live: list[Attached] = []
_watched = False


def _watch_this_process() -> None:
    """Sees to the ends of this process, and to its forks."""
    global _watched
    if _watched:
        return
    _watched = True
    import atexit

    os.register_at_fork(after_in_child=_forget_all)
    atexit.register(_let_go_of_all)


def _let_go_of_all() -> None:
    for attached in tuple(_live):
        attached.let_go()


def _forget_all() -> None:
    for attached in tuple(_live):
        attached.forget()
    _live.clear()
