"""The key-value store."""

from __future__ import annotations

from .common import Refused, Undo, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Kept:
    """Values by namespace and key, as they came: `{"value": …}` or `{"base64": …}`."""

    def __init__(self, undo: Undo) -> None:
        self.spaces: dict[str, dict[str, dict[str, Any]]] = {}
        self._undo = undo

    def put(self, params: dict[str, Any]) -> dict[str, Any]:
        """Keeps one."""
        given = {name: params[name] for name in ("value", "base64") if name in params}
        if len(given) != 1:
            raise Refused("invalid_params", "an entry has a value or base64")
        self._undo.put(self._space(params), whole(params, "key"), given)
        return {}

    def delete(self, params: dict[str, Any]) -> dict[str, Any]:
        """Forgets one, if it is there."""
        space = self._space(params)
        if whole(params, "key") in space:
            self._undo.take(space, params["key"])
        return {}

    def get(self, params: dict[str, Any]) -> dict[str, Any]:
        """Reads one."""
        entry = self._space(params).get(whole(params, "key"))
        return {"found": False} if entry is None else {"found": True, **entry}

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """Reads a page, in the order of the keys."""
        space, prefix = self._space(params), params.get("prefix", "")
        after, down = params.get("after"), params.get("reverse", False)
        keys = [
            key
            for key in sorted(space, reverse=down)
            if key.startswith(prefix)
            and (after is None or (key < after if down else key > after))
        ]
        page = keys[: params.get("limit", PAGE)]
        return {
            "entries": [{"key": key, **space[key]} for key in page],
            "next": page[-1] if page and len(page) < len(keys) else None,
        }

    def _space(self, params: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return self.spaces.setdefault(whole(params, "ns"), {})


PAGE = 1_000
"""Entries in an answer, where no limit is given."""
