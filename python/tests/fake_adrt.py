"""A stand-in for `adrt run` that does as it is told: it starts an agent the way
adrt does, answers from a `MemoryStore`, and can be made to answer late, in
pieces, wrongly or never. Events, steps, timers and all else are the store's.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

from adaptive_runtime._memory import MemoryStore

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(PACKAGE)
TOKEN = "t0ken"
PATIENCE = 60.0  # before a test gives up; never reached where all is well


def clean_environment(**more):
    """Nothing of adrt's, nothing that changes how Python buffers."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ADRT", "PYTHON")) and name != "NOTIFY_SOCKET"
    }
    return {**kept, "PYTHONPATH": PACKAGE, **more}


class FakeAdrt:
    """One incarnation of an agent, given as Python source."""

    def __init__(self, source, store=None, launcher=(), environment=None, mark_wire=True):
        self.store = store or MemoryStore()
        self.connection = self.store.connect("fake")
        self.frames = []  # what came from the agent, parsed
        self.stray = []  # lines on the wire that are no frames
        self.on_frame = None  # frame -> list of lines to send, or None for the usual
        self.send_piece = 1 << 20
        self.output = {"wire": b"", "text": b"", "stderr": b""}
        self._to_send = b""
        self._started = False
        self._spawn(source, list(launcher), environment or {}, mark_wire)

    def _spawn(self, source, launcher, environment, mark_wire):
        with tempfile.NamedTemporaryFile("w", suffix=".py", delete=False) as file:
            file.write(textwrap.dedent(source))
        self._script = file.name
        stdin_r, self.stdin = os.pipe()
        self.wire, stdout_w = os.pipe()
        self.text, text_w = os.pipe()
        self.stderr, stderr_w = os.pipe()
        marks = ",".join(
            f"{os.fstat(fd).st_dev}:{os.fstat(fd).st_ino}" for fd in (stdin_r, stdout_w, text_w)
        )
        settings = clean_environment(
            ADRT_TOKEN=TOKEN,
            ADRT_TEXT_FD="3",
            ADRT_AGENT="fake",
            ADRT_PROTOCOL="1",
            ADRT_INCARNATION=str(self.store.incarnation),
            PYTHONUNBUFFERED="1",
        )
        if mark_wire:
            settings["ADRT_WIRE"] = marks
        settings.update(environment)
        settings = {name: value for name, value in settings.items() if value is not None}
        self.pid = _spawn(
            [*(launcher or [sys.executable]), self._script],
            settings,
            {0: stdin_r, 1: stdout_w, 2: stderr_w, 3: text_w},
        )
        for fd in (stdin_r, stdout_w, text_w, stderr_w):
            os.close(fd)
        self._selector = selectors.DefaultSelector()
        for name in ("wire", "text", "stderr"):
            os.set_blocking(getattr(self, name), False)
            self._selector.register(getattr(self, name), selectors.EVENT_READ, name)
        os.set_blocking(self.stdin, False)
        self.status = None

    # ---------------------------------------------------------- running

    def run(self, until=None):
        """Serves the agent until it has ended, or `until()` is true."""
        end = time.monotonic() + PATIENCE
        while not (until() if until else self._over()):
            if time.monotonic() > end:
                self.kill()
                raise AssertionError(f"nothing more happens:\n{self.told()}")
            self._deliver()
            for key, _ in self._selector.select(0.02):
                if key.data == "stdin":
                    self._pump_out()
                else:
                    self._take(key.data)
        return self

    def _over(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
                if status:
                    self.store.crashed()
                for name in ("wire", "text", "stderr"):
                    self._take(name, drain=True)
        return self.status is not None

    def _take(self, name, drain=False):
        while True:
            try:
                data = os.read(getattr(self, name), 1 << 16)
            except BlockingIOError:
                return
            if not data:
                if not drain and getattr(self, name) in self._selector.get_map():
                    self._selector.unregister(getattr(self, name))
                return
            self.output[name] += data
            if name == "wire":
                self._lines()
            if not drain:
                return

    def _lines(self):
        *lines, self.output["wire"] = self.output["wire"].split(b"\n")
        for line in lines:
            try:
                frame = json.loads(line)
                assert frame["jsonrpc"] == "2.0"
            except (ValueError, TypeError, KeyError, AssertionError):
                self.stray.append(line)
                continue
            self.frames.append(frame)
            self._answer(frame, line)

    def _answer(self, frame, line):
        lines = self.on_frame(frame) if self.on_frame else None
        if lines is None:
            lines = self.usual(line)
        for reply in lines:
            self.send(reply)

    def usual(self, line):
        """What adrt would answer."""
        if isinstance(line, dict):
            line = json.dumps(line).encode()
        self.connection.line(line)
        return self._said()

    def _said(self):
        """What the store has to say: answers, and events where they were asked for."""
        try:
            return self.connection.read(-1, 0).splitlines()
        except BlockingIOError:
            return []

    def _deliver(self):
        """Events come by themselves, too."""
        for line in self._said():
            self.send(line)

    def send(self, line):
        """Queues a line for the agent."""
        if isinstance(line, dict):
            line = json.dumps(line).encode()
        self._to_send += line + b"\n"
        self._pump_out()

    def _pump_out(self):
        watched = self.stdin is not None and self.stdin in self._selector.get_map()
        try:
            while self._to_send and self.stdin is not None:
                sent = os.write(self.stdin, self._to_send[: self.send_piece])
                self._to_send = self._to_send[sent:]
        except BlockingIOError:
            if not watched:
                self._selector.register(self.stdin, selectors.EVENT_WRITE, "stdin")
            return
        except BrokenPipeError:
            self._to_send = b""
        if watched:
            self._selector.unregister(self.stdin)

    def notify(self, method, **params):
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            _, self.status = os.waitpid(self.pid, 0)
            self.store.crashed()

    def vanish(self):
        """adrt is gone: all pipes close."""
        for name in ("stdin", "wire", "text", "stderr"):
            fd = getattr(self, name)
            if fd is not None and fd in self._selector.get_map():
                self._selector.unregister(fd)
            if name != "stderr":
                self._close(name)
        if self.stderr is not None:
            self._selector.register(self.stderr, selectors.EVENT_READ, "stderr")

    def close_stdin(self):
        if self.stdin in self._selector.get_map():
            self._selector.unregister(self.stdin)
        self._close("stdin")

    def _close(self, name):
        if getattr(self, name) is not None:
            os.close(getattr(self, name))
            setattr(self, name, os.open(os.devnull, os.O_RDONLY) if name != "stdin" else None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self._selector.close()
        for name in ("stdin", "wire", "text", "stderr"):
            if getattr(self, name) is not None:
                os.close(getattr(self, name))
        os.unlink(self._script)

    # ---------------------------------------------------------- results

    @property
    def code(self):
        return os.waitstatus_to_exitcode(self.status)

    @property
    def stdout(self):
        return self.output["text"].decode(errors="replace")

    @property
    def errors(self):
        return self.output["stderr"].decode(errors="replace")

    def methods(self):
        return [frame.get("method") for frame in self.frames]

    def told(self):
        return (
            f"status {self.status}, frames {self.methods()[-20:]}, stray {self.stray[:3]}\n"
            f"text: {self.stdout[-2000:]}\nstderr: {self.errors[-4000:]}"
        )


def _spawn(command, environment, descriptors):
    """As adrt does it: 0 to 3 given, a group of its own, default signals."""
    moved = {target: os.dup(source) for target, source in descriptors.items()}
    high = {target: _raised(fd) for target, fd in moved.items()}
    actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in high.items()]
    try:
        return os.posix_spawnp(
            command[0],
            command,
            environment,
            file_actions=actions,
            setpgroup=0,
            setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGPIPE],
        )
    finally:
        for fd in high.values():
            os.close(fd)


def _raised(fd):
    import fcntl

    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 50)
    os.close(fd)
    return high


def run(source, store=None, **options):
    """Runs an agent to its end, once."""
    with FakeAdrt(source, store, **options) as agent:
        return agent.run()


def run_plain(source, **environment):
    """Runs a script with no adrt around it."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
