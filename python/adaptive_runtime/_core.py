"""Requests out, replies in: what the synchronous and the asynchronous client share.

```
   send() ──► outgoing list ──► one write for all of it ──► the wire
                                                               │
   Call.done ◄── dispatch ◄── whole lines, decoded at once ◄───┘
```

Whoever needs an answer reads the wire, and hands the others theirs: of several
waiting threads one leads (reads), the rest follow (sleep), and a leader who
has got its answer wakes a follower to lead. An asyncio loop reads when the
descriptor is ready. No thread of its own exists.

A signal handler of the program may raise at any moment (KeyboardInterrupt, a
time-out by alarm), and the stream must survive it. So:
- a read or write and the noting of its outcome are one step, done in C
  (`list.extend(map(os.read, …))`): between the two no handler can run;
- taking out what has come is done twice rather than never: bytes stay until
  all their frames are dispatched, and dispatching a frame again does nothing.
"""

from __future__ import annotations

import _thread
import time

from . import _errors
from ._json import decode_lines
from ._pulse import Pulse
from ._reentry import REENTRANT, called_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._requests import Effect, Request
    from ._wire import Awaited, Transport

RELEAD_SECONDS = 1.0
"""A follower looks for itself this often, should a leader have been torn away mid-step."""

READS_AT_ONCE = 16
"""Reads in a row before an event loop gets its turn again."""

READ_SIZE = 65536
"""A pipe's capacity: a read never gets more."""

class Call:
    """A request under way."""

    __slots__ = ("done", "effect", "error", "id", "on_done", "result")

    def __init__(
        self, number: int, effect: Effect | None, on_done: Callable[[Call], None] | None
    ) -> None:
        self.id = number
        self.effect = effect
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.on_done = on_done


class Core:
    """One wire's requests and replies."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.max_frame: int | None = None
        self.closed: BaseException | None = None
        # Called in the order things were said, before the caller hears of it.
        self.on_result: Callable[[Call], None] = _ignore
        self.on_notification: Callable[[str, Any], None] = _ignore
        self.on_closed: Callable[[], None] = _ignore
        # Called when something waits to be written, instead of writing at once.
        self.on_outgoing: Callable[[], None] | None = None
        self.pulse = Pulse(self)
        self._pending: dict[int, Call] = {}
        self._last_id = 0
        self._out_lock = _thread.RLock()
        self._inside = False
        # Being written, how much of it at each write, and what comes after it.
        self._out: tuple[bytes, list[int], list[bytes]] = (b"", [], [])
        self._lead: dict[str, int] = {}  # "by": the thread that reads, while one does
        self._reading = False
        self._followers: list[_thread.LockType] = []
        self._chunks: list[bytes] = []
        self._midway = False  # something may have been read and not taken in

    # ------------------------------------------------------------- out

    def send(self, request: Request, on_done: Callable[[Call], None] | None = None) -> Call:
        """Puts a request behind those before it."""
        with self._out_lock:
            self._not_within()
            try:
                self._inside = True
                number = self._last_id + 1
                frame = request.frame(number)
                self._check(frame)
                call = Call(number, request.effect, on_done)
                self._last_id = number
                self._pending[number] = call
                self._out[2].append(frame)
            finally:
                self._inside = False
        if self.on_outgoing is not None:
            self.on_outgoing()
        return call

    def notify(self, request: Request) -> None:
        """Puts a notification behind what is before it."""
        self._put(request.notification())

    def put_newline(self) -> None:
        """Ends a line that something else began on the wire before it was ours."""
        self._put(b"\n")

    def _put(self, frame: bytes) -> None:
        with self._out_lock:
            self._not_within()
            try:
                self._inside = True
                self._check(frame)
                self._out[2].append(frame)
            finally:
                self._inside = False
        if self.on_outgoing is not None:
            self.on_outgoing()

    def put_if_idle(self, frame: bytes) -> None:
        """Says something that need not be said while other things wait, or in mid-sentence."""
        if self.closed is None and not self._inside:
            if not self._out[2]:
                self._put(frame)
            if self.on_outgoing is None:
                self.write_some()

    def _not_within(self) -> None:
        """Refuses a signal handler's call that has interrupted one of these."""
        if self._inside and called_from(Core.send, Core._put, Core.write_some):
            raise RuntimeError(REENTRANT)

    def _check(self, frame: bytes) -> None:
        if self.closed is not None:
            raise type(self.closed)(str(self.closed))
        if self.max_frame is not None and len(frame) > self.max_frame:
            raise _errors.TooLarge(
                f"this request has {len(frame)} bytes, and adrt takes {self.max_frame} at once: "
                "send it in pieces, or raise --max-frame",
                data={"size": len(frame), "limit": self.max_frame},
            )

    def write_some(self) -> bool:
        """Writes what it can without waiting; True when nothing is left."""
        try:
            with self._out_lock:
                self._not_within()
                try:
                    self._inside = True
                    self._write()
                finally:
                    self._inside = False
        except BlockingIOError:
            return False
        except _errors.Crash as crash:
            self.shut(crash)
        except OSError as error:
            self.pump()  # what it said last
            self.shut(_errors.Disconnected(f"adrt closed the wire ({error.strerror})"))
        return True

    def _write(self) -> None:
        while True:
            data, written, after = self._out
            position = sum(written)
            if position < len(data):
                rest = memoryview(data)[position:]
                written.extend(map(self.transport.write, (self.transport.write_fd,), (rest,)))
            elif after:
                # One assignment: what is taken over is in exactly one place.
                self._out = (b"".join(after), [], [])
            else:
                return

    def push(self, timeout: float | None = None) -> bool:
        """Writes everything, reading meanwhile what adrt wants to be rid of."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self.write_some():
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return False
            self.transport.wait(True, RELEAD_SECONDS if left is None else min(left, RELEAD_SECONDS))
            self.pump()
        return True

    # -------------------------------------------------------------- in

    def pump(self) -> None:
        """Takes in what has come, without waiting."""
        self.pulse.beat()
        for _ in range(READS_AT_ONCE):
            if not self._turn(None, 0.0):
                break

    def idle(self, seconds: float) -> None:
        """Waits until something has come and takes it in; no longer than this."""
        self.pulse.beat()
        self._turn(None, self.pulse.until(seconds))

    def wait(self, call: Awaited, timeout: float | None = None) -> bool:
        """Waits until an answer, or what else is to come, is there; False if not in time."""
        end = None if timeout is None else time.monotonic() + timeout
        while not call.done:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return False
            self.pulse.beat()
            self._turn(call, self.pulse.until(left))
        return True

    def _turn(self, call: Awaited | None, seconds: float | None) -> bool:
        """Leads for one read, or follows for a while; whether more may be there.

        `seconds` bounds the wait; with 0 there is none.
        """
        me, lead = _thread.get_ident(), self._lead
        within = True  # a turn of this thread's own, interrupted by a signal handler
        try:
            within = lead.get("by") == me and called_from(Core._turn)
            if lead.setdefault("by", me) != me:  # one step, whoever else tries
                if seconds != 0:
                    self._follow(call, seconds)
                return False
            if self._reading and called_from(Core._read):
                raise RuntimeError(REENTRANT)
            if seconds != 0 and not self._midway and not (call is not None and call.done):
                self.transport.wait(False, seconds)
            return self._read()
        finally:
            if not within and lead.get("by") == me:
                del lead["by"]
                self._wake()

    def _follow(self, call: Awaited | None, seconds: float | None) -> None:
        ticket = _thread.allocate_lock()
        ticket.acquire()
        # In this order: the leader first lets go, then looks for followers.
        self._followers.append(ticket)
        try:
            if self._lead and not (call is not None and call.done):
                limit = RELEAD_SECONDS if seconds is None else min(seconds, RELEAD_SECONDS)
                ticket.acquire(True, limit)
        finally:
            if ticket in self._followers:
                self._followers.remove(ticket)

    def _wake(self) -> None:
        while self._followers:
            # All of them: each sees for itself whether it is served, one leads on.
            try:
                self._followers.pop().release()
            except (IndexError, RuntimeError):
                break

    def _read(self) -> bool:
        """One read; whether more may be there. The leader's alone."""
        self._reading = True
        try:
            if self.closed is not None:
                return False
            if self._midway:
                self._take_in(again=True)
            self._midway = True
            chunks = self._chunks
            chunks.extend(map(self.transport.read, (self.transport.read_fd,), (READ_SIZE,)))
            last = chunks[-1]
            if not last:
                self.shut(_errors.Disconnected(self.transport.gone()))
            elif b"\n" in last:
                self._take_in(again=False)
            self._midway = False
            return len(last) == READ_SIZE
        except BlockingIOError:
            self._midway = False
            return False
        except OSError as error:
            self.shut(_errors.Disconnected(f"the wire to adrt broke ({error.strerror})"))
            return False
        finally:
            self._reading = False

    def _take_in(self, again: bool) -> None:
        count = len(self._chunks)
        data = b"".join(self._chunks)
        end = data.rfind(b"\n") + 1
        try:
            frames = decode_lines(data[:end])
        except ValueError as error:
            self.shut(_errors.Disconnected(f"what came over the wire was no JSON ({error})"))
            return
        for frame in frames:
            self._dispatch(frame, again)
        self._chunks[:count] = [data[end:]] if end < len(data) else []

    def _dispatch(self, frame: Any, again: bool) -> None:
        if "method" in frame:
            self.on_notification(frame["method"], frame.get("params") or {})
            return
        number, error = frame.get("id"), frame.get("error")
        if number is None and error is not None and self._pending and not again:
            # A line adrt could not read. Answers come in the order of the
            # questions, so this is about the oldest one.
            number = next(iter(self._pending))
        call = self._pending.get(number)
        if call is None:
            return
        if error is None:
            call.result = frame.get("result")
            self.on_result(call)
        else:
            call.error = _errors.from_wire(error)
        self._finish(call)

    def _finish(self, call: Call) -> None:
        call.done = True
        self._pending.pop(call.id, None)
        if call.on_done is not None:
            call.on_done(call)

    # ------------------------------------------------------------- end

    @property
    def waiting(self) -> bool:
        """Whether answers are outstanding."""
        return bool(self._pending)

    @property
    def newest(self) -> Call | None:
        """The last request that is not answered: when it is, so are those before it."""
        try:
            return next(reversed(self._pending.values()))
        except (StopIteration, RuntimeError):  # another thread is sending
            return None

    def settle(self, timeout: float) -> bool:
        """Waits for all that is outstanding."""
        end = time.monotonic() + timeout
        if not self.push(timeout):
            return False
        while self._pending:
            call = self.newest
            if call is not None and not self.wait(call, end - time.monotonic()):
                return False
        return True

    def forget(self, call: Call) -> None:
        """Its answer won't come, or is not of interest."""
        self._pending.pop(call.id, None)

    def shut(self, error: BaseException) -> None:
        """From now on every request fails with this."""
        if self.closed is None:
            self.closed = error
            self._out = (b"", [], [])
            self.on_closed()
            for call in list(self._pending.values()):
                call.error = type(error)(str(error))
                self._finish(call)

    def abandon(self, why: str) -> None:
        """In a forked child: the wire and all that is under way are the parent's."""
        self.closed = _errors.NotConnected(why)
        self._out = (b"", [], [])
        self._pending = {}
        self._followers = []
        # Another thread, which is not here, may have held them.
        self._out_lock = _thread.RLock()
        self._inside = self._reading = False
        self._lead = {}


def _ignore(*_args: object) -> None:
    pass
