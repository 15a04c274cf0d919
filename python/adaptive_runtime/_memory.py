"""adrt's side of the wire, in this process: for tests, and for machines without adrt.

`MemoryStore` answers the same lines with the same lines, so that the clients
don't know the difference. It keeps what an agent would find after a restart
for as long as the object lives; nothing reaches a disk, nothing is supervised.
"""

from __future__ import annotations

import datetime
import os
import time

from . import _state
from ._errors import AdrtError, PatchFailed
from ._json import decode, encode
from ._version import PROTOCOL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_FRAME = 16 * 1024 * 1024
MAX_STATE = 64 * 1024 * 1024
KEYS_KEPT = 65_536

_CODES = {
    "invalid_request": -32600,
    "method_not_found": -32601,
    "invalid_params": -32602,
    "key_reused": -32602,
    "unsupported_protocol": 1001,
    "already_initialized": 1003,
    "version_conflict": 1101,
    "patch_failed": 1102,
    "too_large": 1103,
    "unknown_checkpoint": 1401,
    "store_failed": 1501,
}


class _Refused(Exception):
    def __init__(self, kind: str, message: str, **data: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.data = data


class MemoryStore:
    """All that adrt would have on disk for one agent."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.version = 0
        self.checkpoints: list[dict[str, Any]] = []
        """Newest last, each with its content as `state`."""
        self.incarnation = 0
        self.finished: Any = None
        self.is_finished = False
        self.before_write: Callable[[], None] | None = None
        """Called before a write; what it raises, the agent's call raises."""
        self.after_write: Callable[[], None] | None = None
        """Called when a write is done and not yet acknowledged."""
        self._keys: dict[str, tuple[str, Any]] = {}
        self._size = 2  # at least what the state's text has

    def connect(self, agent_id: str | None) -> Connection:
        """A new incarnation's wire."""
        self.incarnation += 1
        return Connection(self, agent_id or "agent")

    # ------------------------------------------------------- writing

    def write(self, method: str, params: dict[str, Any], number: int) -> dict[str, Any]:
        """Carries out a request that changes something, once for each key."""
        key = params.pop("key", None)
        asked = method + encode(params, "params").decode()
        if key in self._keys:
            before, result = self._keys[key]
            if before != asked:
                raise _Refused("key_reused", "this key was used for another request; take a new one")
            return dict(result)
        if self.before_write is not None:
            self.before_write()
        result = self._commit(method, params, number)
        if key is not None:
            self._keys[key] = (asked, dict(result))
            if len(self._keys) > KEYS_KEPT:
                del self._keys[next(iter(self._keys))]
        if self.after_write is not None:
            self.after_write()
        return result

    def _commit(self, method: str, params: dict[str, Any], number: int) -> dict[str, Any]:
        guard = params.get("if_version")
        if guard is not None and guard != self.version:
            raise _Refused(
                "version_conflict",
                f"the state has version {self.version} by now, not {guard}: read it again",
                version=self.version,
            )
        if method == "state.set":
            return self._change("set", params["value"])
        if method == "state.patch":
            return self._change(params.get("format", "merge"), params["patch"])
        if method == "checkpoint.create":
            return self._snapshot(params.get("label"), number)
        if method == "checkpoint.restore":
            return self._change("set", _state.thaw(self._find(params["id"])["state"]))
        if method == "tx":
            return self._together(params["ops"], number)
        self.is_finished, self.finished = True, params.get("result")
        return {}

    def _change(self, format: str, patch: Any) -> dict[str, Any]:
        if format != "json" and not isinstance(patch, dict):
            raise _Refused("invalid_params", "the state is an object, and so is a patch")
        self._make_room(format, patch)
        if format == "json":  # may fail midway
            state = _state.thaw(self.state)
            _state.json_patch(state, patch, _state.thaw)
            self.state = state
        else:
            _state.apply(self.state, format, patch, _plain)
        self.version += 1
        return {"version": self.version}

    def _make_room(self, format: str, patch: Any) -> None:
        added = len(encode(patch, "patch"))
        self._size = added if format == "set" else self._size + added
        if self._size > MAX_STATE:  # the sum forgets what was overwritten: count
            state = _state.thaw(self.state)
            _state.apply(state, format, patch, _plain)
            size = len(encode(state, "state"))
            if size > MAX_STATE:
                self._size -= added
                raise _Refused(
                    "too_large",
                    f"the state would have {size} bytes and may have {MAX_STATE}",
                    size=size,
                    limit=MAX_STATE,
                )
            self._size = size

    def _snapshot(self, label: str | None, number: int) -> dict[str, Any]:
        size = len(encode(self.state, "state"))
        snapshot = {
            "id": self.checkpoints[-1]["id"] + 1 if self.checkpoints else 1,
            "version": self.version,
            "created": datetime.datetime.now(datetime.timezone.utc).isoformat(),
            "label": label,
            "reason": "request",
            "incarnation": number,
            "bytes": size,
            "state_bytes": size,
            "state": _state.thaw(self.state),
        }
        self.checkpoints.append(snapshot)
        return {name: snapshot[name] for name in ("id", "version", "bytes")}

    def _find(self, checkpoint_id: int) -> dict[str, Any]:
        for checkpoint in self.checkpoints:
            if checkpoint["id"] == checkpoint_id:
                return checkpoint
        raise _Refused("unknown_checkpoint", f"there is no checkpoint {checkpoint_id}")

    def _together(self, ops: list[dict[str, Any]], number: int) -> dict[str, Any]:
        version, state, kept = self.version, _state.thaw(self.state), len(self.checkpoints)
        results = []
        for index, op in enumerate(ops):
            try:
                if op["method"] not in _WRITES or op["method"] in ("tx", "checkpoint.restore"):
                    raise _Refused("invalid_params", f"{op['method']} can't be part of a tx")
                results.append(self._commit(op["method"], dict(op["params"]), number))
            except (_Refused, PatchFailed) as error:
                self.version, self.state = version, state
                del self.checkpoints[kept:]
                error.data["index"] = index
                raise
        self.version = min(self.version, version + 1)  # however many, it is one version
        for result in results:
            if result.get("version", 0) > version:
                result["version"] = self.version
        for checkpoint in self.checkpoints[kept:]:
            checkpoint["version"] = self.version
        return {"results": results}


def _plain(value: Any) -> Any:
    return value


_WRITES = (
    "state.set",
    "state.patch",
    "checkpoint.create",
    "checkpoint.restore",
    "tx",
    "run.finish",
)


class Connection:
    """A wire that ends in this process: what is written is answered at once."""

    read_fd = write_fd = -1

    def __init__(self, store: MemoryStore, agent: str) -> None:
        self._store = store
        self._agent = agent
        self._number = store.incarnation
        self._initialized = False
        self._part = b""
        self._replies: list[bytes] = []

    # ------------------------------------------------ as a transport

    def write(self, _fd: int, data: memoryview) -> int:
        lines = (self._part + bytes(data)).split(b"\n")
        self._part = lines.pop()
        for line in lines:
            if line:
                self._line(line)
        return len(data)

    def read(self, _fd: int, _size: int) -> bytes:
        if not self._replies:
            raise BlockingIOError
        data = b"".join(self._replies)
        self._replies.clear()
        return data

    def wait(self, write: bool, timeout: float | None) -> None:
        if timeout and not write and not self._replies:
            time.sleep(timeout)  # all that was asked has been answered

    def close(self) -> None:
        pass

    # ------------------------------------------------------ as adrt

    def _line(self, line: bytes) -> None:
        frame = decode(line)
        answer = self._answer(frame["method"], frame.get("params") or {})
        if "id" in frame:
            text = encode({"jsonrpc": "2.0", "id": frame["id"], **answer}, "reply")
            self._replies.append(text + b"\n")

    def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"result": self._result(method, params)}
        except _Refused as refused:
            return _error(refused.kind, str(refused), refused.data)
        except AdrtError as error:
            return _error(error.kind, str(error), error.data, error.retryable)

    def _result(self, method: str, params: dict[str, Any]) -> Any:
        store = self._store
        if method == "initialize":
            return self._initialize(params)
        if not self._initialized:
            raise _Refused("invalid_request", "initialize comes first")
        if self._number != store.incarnation:
            raise _Refused("stale_attempt", "a later incarnation has taken over")
        if method in _WRITES:
            return store.write(method, params, self._number)
        if method == "state.get":
            value = store.state
            if "path" in params:
                try:
                    value = _state.lookup(value, params["path"])
                except (LookupError, ValueError) as error:
                    raise _Refused("invalid_params", str(error)) from None
            return {"version": store.version, "value": value}
        if method == "checkpoint.list":
            newest = list(reversed(store.checkpoints))[: params.get("limit")]
            return {"checkpoints": [_shown(checkpoint) for checkpoint in newest]}
        if method in ("ready", "heartbeat", "log"):
            return {}
        raise _Refused("method_not_found", f"there is no method {method}")

    def _initialize(self, params: dict[str, Any]) -> dict[str, Any]:
        if self._initialized:
            raise _Refused("already_initialized", "initialize was said before")
        if PROTOCOL not in params["protocol"]:
            raise _Refused("unsupported_protocol", "no common version", supported=[PROTOCOL])
        self._initialized = True
        store = self._store
        first = self._number == 1
        newest = store.checkpoints[-1] if store.checkpoints else None
        return {
            "protocol": PROTOCOL,
            "agent": self._agent,
            "run_id": f"memory-{os.getpid()}-{id(store):x}",
            "incarnation": self._number,
            "start": {
                "reason": "first" if first else "resume",
                "exit": None,
                "crashes_in_row": 0,
                "downtime_ms": 0,
                "safe_mode": False,
            },
            "state": {"version": store.version, "value": store.state},
            "checkpoint": None if newest is None else _shown(newest),
            "limits": {"max_frame": MAX_FRAME, "max_state": MAX_STATE},
        }


def _shown(checkpoint: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in checkpoint.items() if name != "state"}


def _error(
    kind: str, message: str, data: dict[str, Any], retryable: bool = False
) -> dict[str, Any]:
    return {
        "error": {
            "code": _CODES.get(kind, -32603),
            "message": message,
            "data": {"kind": kind, "retryable": retryable, **data},
        }
    }


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
