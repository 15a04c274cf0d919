"""What is asked of adrt: requests as text, built once and the same for every client.

Nothing here sends anything. A request knows what it will have done to the
state when it is acknowledged (`effect`), so that the mirror can follow.
"""

from __future__ import annotations

from ._errors import NotJson
from ._json import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Effect = tuple[tuple[str, bytes], ...]
    """Changes of the state, in order: how each is written, and its JSON text."""

FORMATS = ("merge", "json", "shallow")


class Request:
    """A method and its parameters, as JSON text."""

    __slots__ = ("effect", "guard", "keyed", "method", "params")

    def __init__(
        self,
        method: str,
        params: bytes = b"",
        effect: Effect | None = None,
        key: str | None = None,
        guard: int | None = None,
    ) -> None:
        self.method = method
        self.params = params  # members with commas between, without the braces
        self.effect = effect
        self.guard = guard  # the version it is for; not among the members, see `_gather`
        self.keyed = key is not None
        if key is not None:
            self._add_key(key)

    def _add_key(self, key: str) -> None:
        member = b'"key":' + encode(key, "key")
        self.params = member + b"," + self.params if self.params else member

    def with_key(self, key: str) -> Request:
        """The same request, to be applied once however often it is sent."""
        if self.keyed:
            return self
        return Request(self.method, self.params, self.effect, key, self.guard)

    def _members(self) -> bytes:
        guard = b"" if self.guard is None else b'"if_version":%d' % self.guard
        return b",".join(filter(None, (self.params, guard)))

    def frame(self, number: int) -> bytes:
        """A line of the wire."""
        return b'{"jsonrpc":"2.0","id":%d,"method":"%s","params":{%s}}\n' % (
            number,
            self.method.encode(),
            self._members(),
        )

    def notification(self) -> bytes:
        """A line of the wire that asks for no answer."""
        return b'{"jsonrpc":"2.0","method":"%s","params":{%s}}\n' % (
            self.method.encode(),
            self._members(),
        )

    def op(self) -> bytes:
        """An element of `tx`'s `ops`; a version is the whole `tx`'s to ask for."""
        return b'{"method":"%s","params":{%s}}' % (self.method.encode(), self.params)


def members(**values: Any) -> bytes:
    """Those of the values that are not None, as members of an object."""
    return b",".join(
        b'"%s":%s' % (name.encode(), encode(value, name))
        for name, value in values.items()
        if value is not None
    )


def patch(
    value: Any, format: str = "merge", if_version: int | None = None, key: str | None = None
) -> Request:
    """Changes members of the state."""
    if format not in FORMATS:
        raise ValueError(f"format is one of {', '.join(FORMATS)}, not {format!r}")
    if format == "json":
        if not isinstance(value, (list, tuple)):
            raise NotJson('a patch of format "json" is a list of operations')
    elif not isinstance(value, dict):
        raise NotJson(f"a patch is a dict of members to change, not a {type(value).__name__}")
    text = encode(value, "patch")
    params = b'"patch":' + text
    if format != "merge":
        params += b',"format":"%s"' % format.encode()
    return Request("state.patch", params, ((format, text),), key, if_version)


def replace(value: Any, if_version: int | None = None, key: str | None = None) -> Request:
    """Puts a whole new state in the place of the old."""
    if not isinstance(value, dict):
        raise NotJson(f"the state is a dict, not a {type(value).__name__}")
    text = encode(value, "state")
    return Request("state.set", b'"value":' + text, (("set", text),), key, if_version)


def get() -> Request:
    """Reads the whole state."""
    return Request("state.get")


def checkpoint(label: str | None = None, key: str | None = None) -> Request:
    """Takes a snapshot."""
    return Request("checkpoint.create", members(label=label), None, key)


def checkpoints(limit: int | None = None) -> Request:
    """Lists snapshots, newest first."""
    return Request("checkpoint.list", members(limit=limit))


def restore(checkpoint_id: int, key: str | None = None) -> Request:
    """Makes a new version with the content of a snapshot."""
    if isinstance(checkpoint_id, bool) or not isinstance(checkpoint_id, int):
        raise TypeError("a checkpoint is named by its id, a number: see checkpoints()")
    return Request("checkpoint.restore", b'"id":%d' % checkpoint_id, None, key)


def tx(requests: list[Request], if_version: int | None = None, key: str | None = None) -> Request:
    """All of these or none, making one version."""
    effect: Effect = ()
    for request in requests:
        effect += request.effect or ()
    ops = b'"ops":[' + b",".join(request.op() for request in requests) + b"]"
    return Request("tx", ops, effect or None, key, if_version)


def finish(result: Any = None) -> Request:
    """The agent is done; the exit 0 that follows ends the run."""
    text = b"" if result is None else b'"result":' + encode(result, "result")
    return Request("run.finish", text)


def ready() -> Request:
    """The agent is up."""
    return Request("ready")


def heartbeat(status: str | None, done: int | None, total: int | None) -> Request:
    """The agent is alive, and how far it has come."""
    progress = None if done is None else {"done": done}
    if progress is not None and total is not None:
        progress["total"] = total
    return Request("heartbeat", members(status=status, progress=progress))


LEVELS = ("debug", "info", "warning", "error")


def log(level: str, message: str, fields: dict[str, Any]) -> Request:
    """A line of the log with a level and fields."""
    if level not in LEVELS:
        raise ValueError(f"level is one of {', '.join(LEVELS)}, not {level!r}")
    return Request("log", members(level=level, message=message, fields=fields or None))


def pointer(path: str) -> str:
    """A JSON Pointer; a bare name stands for a top-level member."""
    if path.startswith("/"):
        return path
    if "/" in path or not path:
        raise ValueError(f'{path!r} is no path: write "/a/b" for member b of member a')
    return "/" + path.replace("~", "~0")


def append(path: str, value: Any, key: str | None = None) -> Request:
    """Adds to the end of a list that is there."""
    return patch([{"op": "add", "path": path + "/-", "value": value}], "json", None, key)


def begin_list(path: str, if_version: int | None = None) -> Request:
    """Makes an empty list, if nothing has happened since that version."""
    return patch([{"op": "add", "path": path, "value": []}], "json", if_version)


def delete(path: str, if_version: int | None = None, key: str | None = None) -> Request:
    """Removes a member or an element."""
    return patch([{"op": "remove", "path": path}], "json", if_version, key)
