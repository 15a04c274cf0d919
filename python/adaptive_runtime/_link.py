"""A connection with what is known about it, and the steps both clients take over it.

A process has one wire, so it has one `Link` over it for life; clients take it
one after the other. A link over memory belongs to one client.

The steps that need several requests are generators: they yield a request and
are sent its result (or have its error thrown in), and know nothing of threads
or loops. `Agent` and `Runtime` each have a driver of a few lines.
"""

from __future__ import annotations

import os

from . import _errors, _event_requests, _requests, _schema, _state, _wire
from ._core import Core
from ._environment import Readings
from ._events import Inbox
from ._gather import current
from ._results import start_info
from ._version import PROTOCOL, __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from typing import Any, Union

    from ._core import Call
    from ._gather import Gathering
    from ._memory import MemoryStore
    from ._requests import Request
    from ._results import StartInfo
    from ._reviews import ReviewCall
    from ._stop import Terminator
    from ._wire import Transport

    Flow = Generator[Request, Any, Any]
    Backend = Union[str, MemoryStore, None]

STORE_TIMEOUT = 300.0
"""How long a disk that refuses is waited for, in seconds."""

HANDSHAKE_AGAIN_SECONDS = 2.0
"""When `initialize` is said a second time, on a line of its own.

Something that printed half a line to stdout before the wire was taken over
has made the first one part of a line of text.
"""

SETTLE_SECONDS = 2.0
"""How long outstanding acknowledgements are waited for when the process is told to end."""

REVIEWS_KNOWN = 4_096
"""Reviews that are remembered as told; those before them come as events again."""


class Link:
    """A wire, the mirror of the state, and what `initialize` said."""

    def __init__(self, transport: Transport, token: str) -> None:
        self.core = Core(transport)
        self.core.on_result = self._result
        self.core.on_notification = self._notification
        self.core.on_closed = self._closed
        self.mirror = _state.Mirror()
        self.inbox = Inbox(self)
        self.environment = Readings()
        self.asked: set[ReviewCall] = set()
        """Reviews that are waited for."""
        self.known_reviews: dict[int, None] = {}
        """Those whose end the program hears of without the event that tells it."""
        self.news = False  # something that handlers want to hear of
        self.on_news: Callable[[], None] | None = None
        self.info: StartInfo | None = None
        self.token = token
        self.taken = False
        self.stopping = False
        self.told_to_stop = False
        self.on_stopping: Callable[[], None] | None = None
        self.terminator: Terminator | None = None

    def release(self) -> None:
        """The client that had it is done with it."""
        self.taken = False
        self.on_stopping = None
        self.inbox.on_delivery = None
        self.environment.on_change = None
        self.on_news = None
        self.core.on_outgoing = None
        if self.terminator is not None:
            self.terminator.remove()
            self.terminator = None

    def forked(self, why: str) -> None:
        """This process is a forked child: nothing of it is its own."""
        self.core.abandon(why)
        self.release()

    # ------------------------------------------------ what adrt says

    def _result(self, call: Call) -> None:
        version = call.result.get("version") if isinstance(call.result, dict) else None
        if version is None and call.effect:
            version = _tx_version(call.result)
        if call.effect and version is not None:
            self.mirror.acknowledge(call.effect, version)

    def _notification(self, method: str, params: dict[str, Any]) -> None:
        if method == "state.changed":
            self.mirror.told(params.get("format", "merge"), params.get("patch"), params["version"])
        elif method == "event.deliver":
            self.inbox.deliver(params)
        elif method == "shutdown":
            self.told_to_stop = True
            self._stop()
        elif method == "review.resolved":
            for call in tuple(self.asked):
                call.heard.add(params["review_id"])
            self._tell_news()
        elif method == "environment.changed":
            self.environment.take(params)
            self._tell_news()

    def know_review(self, number: int) -> None:
        """The program will hear of its end."""
        self.known_reviews[number] = None
        if len(self.known_reviews) > REVIEWS_KNOWN:
            del self.known_reviews[next(iter(self.known_reviews))]

    def _tell_news(self) -> None:
        if self.on_news is not None:
            self.on_news()

    def _closed(self) -> None:
        self._stop()

    @property
    def ends_program(self) -> bool:
        """Whether a program that doesn't see to its end itself is to be ended now.

        By a parent that kills it else; or by an operator who has told its child.
        """
        if not self.core.transport.supervised:
            return self.told_to_stop and self.core.transport.owned
        return self.stopping and self.terminator is not None and self.terminator.installed

    def raise_if_lost(self) -> None:
        """Where adrt is the child and not the parent, its end is no reason to end, but an error."""
        closed = self.core.closed
        if closed is not None and not self.told_to_stop and not self.core.transport.supervised:
            raise type(closed)(str(closed))

    def say_if_lost(self) -> None:
        """Tells why this process ends, if nobody has asked it to."""
        self.raise_if_lost()
        if self.core.closed is not None and not self.told_to_stop:
            try:
                os.write(2, f"adaptive_runtime: {self.core.closed}; ending\n".encode())
            except OSError:
                pass  # most likely adrt was the reader

    def _stop(self) -> None:
        if not self.stopping:
            self.stopping = True
            if self.on_stopping is not None:
                self.on_stopping()

    # ------------------------------------------------------ beginning

    def hello(
        self,
        agent_id: str | None,
        checkpoint_every: int | None,
        schema: int | None,
        events: dict[str, Any] | None,
    ) -> Request:
        """`initialize`, with the events that are wanted from the start."""
        self.inbox.subscription = events
        return _requests.Request(
            "initialize",
            _requests.members(
                protocol=[PROTOCOL],
                token=self.token,
                client={"name": "adaptive_runtime", "version": __version__},
                agent_id=agent_id,
                checkpoint_every=checkpoint_every,
                schema=schema,
                events=events,
            ),
        )

    def welcome(self, first: Call, second: Call | None) -> None:
        """Takes the answer to `initialize`, or to whichever of the two was heard."""
        answered = first if second is None or first.done else second
        self.core.forget(first)
        if isinstance(answered.error, _errors.Disconnected):
            raise self.core.transport.not_begun(answered.error)
        if answered.error is not None:
            raise answered.error
        reply = answered.result
        self.mirror.reset(reply["state"]["value"], reply["state"]["version"])
        limits = reply.get("limits") or {}
        self.core.max_frame = limits.get("max_frame")
        self.core.pulse.begin(limits.get("hang_timeout_ms"))
        self.environment.take(reply.get("environment"))
        self.info = start_info(reply)

    def begin(
        self,
        schema: int | None,
        migrations: Mapping[int, _schema.Migration] | None,
        events: dict[str, Any] | None,
    ) -> Flow:
        """What is done between `initialize` and the program's first line."""
        if events is not None and events != self.inbox.subscription:
            self.inbox.subscription = events  # `initialize` was said for a client before this
            yield _event_requests.subscribe(events)
        yield from _schema.migrate(self.mirror, schema, migrations or {}, self.info)

    # ---------------------------------------------------------- steps

    def append(self, path: str, value: Any, key: str | None) -> Flow:
        """Adds to a list, beginning it if there is none, whoever else writes.

        JSON Patch can't say "unless it is there", so an empty list is made
        under the version at which there was none; if something else came
        first, all is looked at anew. The adding itself is always the same
        request, which is what `key` needs.
        """
        path = _requests.pointer(path)
        gathering = current(self) if key is None else None
        if gathering is not None:
            return (yield from self._append_gathered(gathering, path, value))
        while True:
            version = self.mirror.version
            try:
                there = _state.lookup(self.mirror.value, path)
            except LookupError:
                there = None
            if there is not None and not isinstance(there, list):
                raise _errors.PatchFailed(f"what is at {path} is no list: nothing can be appended")
            try:
                if there is None:
                    yield _requests.begin_list(path, version)
                result = yield _requests.append(path, value, key)
                return result["version"]
            except (_errors.VersionConflict, _errors.PatchFailed) as error:
                if self.mirror.version == version:
                    if isinstance(error, _errors.PatchFailed):
                        raise
                    yield from self._reread()

    def _append_gathered(self, gathering: Gathering, path: str, value: Any) -> Flow:
        """The same within an event's block.

        Only the making of the list doesn't wait for the ack: as part of it,
        it would undo what another event's block has appended meanwhile.
        """
        while _state.absent(gathering.view(), path):
            version = self.mirror.version
            if _state.absent(self.mirror.value, path.rpartition("/")[0]):
                gathering.add(_requests.begin_list(path))  # within what is ours alone
                break
            try:
                yield _requests.begin_list(path, version)
            except (_errors.VersionConflict, _errors.PatchFailed):
                if self.mirror.version == version:
                    yield from self._reread()
        gathering.add(_requests.append(path, value))
        return self.mirror.version

    def gathered(self, request: Request) -> bool:
        """Whether the request goes with the ack of an event, instead of now."""
        gathering = None if request.keyed else current(self)
        if gathering is None:
            return False
        gathering.add(request)
        return True

    def view(self) -> _state.StateDict:
        """The state, with what the event's block one is in has changed."""
        gathering = current(self)
        return self.mirror.value if gathering is None else gathering.view()

    def refresh(self) -> Flow:
        """Reads the whole state, if the mirror has lost track of it."""
        if self.mirror.stale:
            yield from self._reread()

    def _reread(self) -> Flow:
        result = yield _requests.get()
        self.mirror.reset(result["value"], result["version"])

    def restore(self, checkpoint_id: int) -> Flow:
        """Goes back to a checkpoint, as a new version."""
        result = yield _requests.restore(checkpoint_id)
        yield from self._reread()
        return result["version"]

    def checkpoint_of(self, state: dict[str, Any], label: str | None) -> Flow:
        """Merges and takes a snapshot, both or neither."""
        parts = [_requests.patch(state, "shallow"), _requests.checkpoint(label)]
        result = yield _requests.tx(parts)
        return result["results"][1]


def _tx_version(result: Any) -> int | None:
    """The version a `tx` has made, from what its operations say."""
    for part in result.get("results") or () if isinstance(result, dict) else ():
        if isinstance(part, dict) and isinstance(part.get("version"), int):
            version: int = part["version"]
            return version
    return None


# -------------------------------------------------------- where to go

_wire_link: Link | None = None
default_store: MemoryStore | None = None
"""What clients without a backend of their own use; set by `testing`."""


def connect(backend: Backend, agent_id: str | None) -> Link:
    """The link for a new client: over the wire, or to memory where that is asked for.

    Where adrt has not started this process, over a wire to an adrt of its own.
    """
    if backend is None and default_store is not None:
        backend = default_store
    if backend is None and _wire.found.wire is None and os.environ.get("ADRT") == "off":
        backend = "memory"
    if backend is None:
        return _take_wire() or _attached(agent_id)
    from . import _memory

    if isinstance(backend, _memory.MemoryStore):
        return Link(backend.connect(agent_id), "")
    if backend != "memory":
        raise ValueError(f'backend is "memory", a MemoryStore or None, not {backend!r}')
    _memory.warn_once()
    return Link(_memory.MemoryStore().connect(agent_id), "")


def _attached(agent_id: str | None) -> Link:
    """To an adrt of our own."""
    from . import _attach

    attached = _attach.start(agent_id)
    link = Link(attached, attached.token)
    attached.on_forget = link.forked
    return link


def _take_wire() -> Link | None:
    """The link over the wire that this process was started with, if it was."""
    global _wire_link
    wire = _wire.found.wire
    if wire is None:
        why_not = _wire.why_not_connected()
        if why_not:
            raise _errors.NotConnected(why_not)
        return None
    if _wire_link is None:
        _wire_link = Link(wire, _wire.found.token)
        _wire.found.on_forget = _wire_link.forked
    if _wire_link.taken:
        raise _errors.NotConnected(
            "this process has an Agent or Runtime already, and there is one wire: "
            "share that one, or stop() it first"
        )
    _wire_link.taken = True
    return _wire_link
