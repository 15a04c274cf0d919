"""The state, its version, and its checkpoints."""

from __future__ import annotations

from .. import _state
from .._json import encode
from .common import Clock, Refused, Undo, rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_STATE = 64 * 1024 * 1024


class States:
    """What the agent remembers."""

    def __init__(self, undo: Undo, clock: Clock) -> None:
        self.value: dict[str, Any] = {}
        self.version = 0
        self.checkpoints: list[dict[str, Any]] = []
        """Newest last, each with its content as `state`."""
        self._undo = undo
        self._clock = clock
        self._size = 2  # at least what the state's text has

    def guard(self, version: int | None) -> None:
        """Refuses what was decided on another version."""
        if version is not None and version != self.version:
            raise Refused(
                "version_conflict",
                f"the state has version {self.version} by now, not {version}: read it again",
                version=self.version,
            )

    def change(self, format: str, patch: Any) -> dict[str, Any]:
        """A patch, or (`set`) a whole new state."""
        if format != "json" and not isinstance(patch, dict):
            raise Refused("invalid_params", "the state is an object, and so is a patch")
        value = _state.changed(self.value, format, patch, _plain)
        self._make_room(format, patch, value)
        self._undo.set(self, value=value, version=self.version + 1)
        return {"version": self.version}

    def _make_room(self, format: str, patch: Any, value: Any) -> None:
        added = len(encode(patch, "patch"))
        size = added if format == "set" else self._size + added
        if size > MAX_STATE:  # the sum forgets what was overwritten: count
            size = len(encode(value, "state"))
            if size > MAX_STATE:
                raise Refused(
                    "too_large",
                    f"the state would have {size} bytes and may have {MAX_STATE}",
                    size=size,
                    limit=MAX_STATE,
                )
        self._undo.set(self, _size=size)

    def snapshot(self, label: str | None, number: int) -> dict[str, Any]:
        """A checkpoint, taken by this incarnation."""
        size = len(encode(self.value, "state"))
        taken = {
            "id": self.checkpoints[-1]["id"] + 1 if self.checkpoints else 1,
            "version": self.version,
            "created": rfc3339(self._clock.now()),
            "label": label,
            "reason": "request",
            "incarnation": number,
            "bytes": size,
            "state_bytes": size,
            "state": self.value,
        }
        self._undo.add(self.checkpoints.pop)
        self.checkpoints.append(taken)
        return {name: taken[name] for name in ("id", "version", "bytes")}

    def restore(self, checkpoint_id: int) -> dict[str, Any]:
        """A new version with the content of a checkpoint."""
        for checkpoint in self.checkpoints:
            if checkpoint["id"] == checkpoint_id:
                return self.change("set", checkpoint["state"])
        raise Refused("unknown_checkpoint", f"there is no checkpoint {checkpoint_id}")

    def as_one(self, version: int, kept: int, results: list[dict[str, Any]]) -> None:
        """However many changes a `tx` has made since `version`: they are one."""
        self.version = min(self.version, version + 1)
        for result in results:
            if result.get("version", 0) > version:
                result["version"] = self.version
        for checkpoint in self.checkpoints[kept:]:
            checkpoint["version"] = self.version

    def read(self, path: str | None) -> dict[str, Any]:
        """The state, or what is at a path of it."""
        value: Any = self.value
        if path is not None:
            try:
                value = _state.lookup(value, path)
            except (LookupError, ValueError) as error:
                raise Refused("invalid_params", str(error)) from None
        return {"version": self.version, "value": value}

    def listed(self, limit: int | None) -> dict[str, Any]:
        """The checkpoints, newest first."""
        return {"checkpoints": [shown(taken) for taken in self.checkpoints[::-1][:limit]]}


def shown(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint without its content."""
    return {name: value for name, value in checkpoint.items() if name != "state"}


def _plain(value: Any) -> Any:
    return value
