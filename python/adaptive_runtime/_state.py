"""The state as the agent sees it: a read-only copy, kept current by acknowledgements.

`StateDict` and `StateList` are a dict and a list, so that `json.dumps`,
`match`, comparison and `isinstance` work as ever; only changing them raises,
since a change made here would never reach the disk. The view is live: it
shows what adrt has acknowledged so far.

The functions below apply changes the way adrt does, and work on plain and on
read-only containers alike (they call the base class).
"""

from __future__ import annotations

from ._errors import PatchFailed
from ._json import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from ._requests import Effect


def _read_only(self: object, *_args: object, **_more: object) -> NoReturn:
    raise TypeError(
        "the state is read-only here: change it with patch(), append(), delete() or replace(), "
        "or take a copy of your own with .copy()"
    )


class StateDict(dict):  # type: ignore[type-arg]
    """An object of the state, read-only."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _read_only
    clear = pop = popitem = setdefault = update = _read_only

    def copy(self) -> dict[str, Any]:
        """A copy of your own, all the way down."""
        copied: dict[str, Any] = thaw(self)
        return copied

    __copy__ = copy

    def __deepcopy__(self, _memo: object) -> dict[str, Any]:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, (self.copy(),))


class StateList(list):  # type: ignore[type-arg]
    """An array of the state, read-only."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _read_only
    append = clear = extend = insert = _read_only
    pop = remove = reverse = sort = _read_only

    def copy(self) -> list[Any]:
        """A copy of your own, all the way down."""
        copied: list[Any] = thaw(self)
        return copied

    __copy__ = copy

    def __deepcopy__(self, _memo: object) -> list[Any]:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return (list, (self.copy(),))


def freeze(value: Any) -> Any:
    """The read-only form of a JSON value."""
    if isinstance(value, dict):
        return StateDict({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list):
        return StateList([freeze(item) for item in value])
    return value


def thaw(value: Any) -> Any:
    """A plain copy of a JSON value, sharing nothing with it."""
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list):
        return [thaw(item) for item in value]
    return value


# ------------------------------------------------------------ changes


def apply(root: Any, format: str, patch: Any, make: Callable[[Any], Any]) -> None:
    """Changes `root`, a dict, in place. `make` prepares what is put in.

    `set`, `merge` and `shallow` can't fail; a JSON Patch that fails has
    changed what came before its failing operation.
    """
    if format == "set":
        fresh = make(patch)
        dict.clear(root)
        dict.update(root, fresh)
    elif format == "shallow":
        dict.update(root, make(patch))
    elif format == "merge":
        merge(root, patch, make)
    else:
        json_patch(root, patch, make)


def merge(target: Any, patch: dict[str, Any], make: Callable[[Any], Any]) -> None:
    """A merge patch (RFC 7396)."""
    for key, item in patch.items():
        if item is None:
            dict.pop(target, key, None)
        elif not isinstance(item, dict):
            dict.__setitem__(target, key, make(item))
        else:
            inner = target.get(key)
            if not isinstance(inner, dict):
                inner = make({})
                dict.__setitem__(target, key, inner)
            merge(inner, item, make)


def json_patch(root: Any, operations: list[Any], make: Callable[[Any], Any]) -> None:
    """A JSON Patch (RFC 6902)."""
    for index, operation in enumerate(operations):
        try:
            _operate(root, operation, make)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise PatchFailed(
                f"operation {index} of the patch failed: {error}", data={"index": index}
            ) from None


def changed(root: Any, format: str, patch: Any, make: Callable[[Any], Any]) -> Any:
    """A changed copy of `root`; what the change doesn't touch is shared with it.

    `root` stays as it was, also where the change fails, and the cost is that
    of the change: the containers on the way to it are copied, and no others.
    """
    if format == "set":
        return make(patch)
    if format == "merge":
        return _merged(root, patch, make)
    fresh = type(root)(root)
    if format == "shallow":
        dict.update(fresh, make(patch))
        return fresh
    own = {id(fresh): fresh}
    for index, operation in enumerate(patch):
        try:
            for member in ("from", "path"):
                _unshare(fresh, operation.get(member, ""), own)
            _operate(fresh, operation, make)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise PatchFailed(
                f"operation {index} of the patch failed: {error}", data={"index": index}
            ) from None
    return fresh


def _merged(target: Any, patch: dict[str, Any], make: Callable[[Any], Any]) -> Any:
    fresh = type(target)(target)
    for key, item in patch.items():
        if item is None:
            dict.pop(fresh, key, None)
        elif not isinstance(item, dict):
            dict.__setitem__(fresh, key, make(item))
        else:
            inner = fresh.get(key)
            base = inner if isinstance(inner, dict) else make({})
            dict.__setitem__(fresh, key, _merged(base, item, make))
    return fresh


def _unshare(root: Any, pointer: str, own: dict[int, Any]) -> None:
    """Puts copies in the place of the containers on the way to `pointer`."""
    for part in split(pointer)[:-1]:
        if isinstance(root, dict):
            if part not in root:
                return  # the operation itself says what is wrong
            key: Any = part
        elif isinstance(root, list):
            key = _index(part, len(root) - 1)
        else:
            return
        inner = root[key]
        if id(inner) not in own and isinstance(inner, (dict, list)):
            inner = type(inner)(inner)
            own[id(inner)] = inner
            (dict if isinstance(root, dict) else list).__setitem__(root, key, inner)
        root = inner


def _operate(root: Any, operation: dict[str, Any], make: Callable[[Any], Any]) -> None:
    op, path = operation["op"], operation["path"]
    if op == "add":
        _add(root, path, make(operation["value"]))
    elif op == "remove":
        _take(root, path)
    elif op == "replace":
        lookup(root, path)
        if path:
            _take_and_add(root, path, make(operation["value"]))
        else:
            _add(root, path, make(operation["value"]))
    elif op == "move":
        if path.startswith(operation["from"] + "/"):
            raise ValueError(f"{operation['from']} can't be moved into itself")
        _add(root, path, _take(root, operation["from"]))
    elif op == "copy":
        _add(root, path, make(thaw(lookup(root, operation["from"]))))
    elif op == "test":
        if not same(lookup(root, path), operation["value"]):
            raise ValueError(f"the value at {path!r} is another")
    else:
        raise ValueError(f"there is no operation {op!r}")


def split(pointer: str) -> list[str]:
    """The members of a JSON Pointer (RFC 6901)."""
    if not pointer:
        return []
    if not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is no JSON Pointer: it begins with no /")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def lookup(root: Any, pointer: str) -> Any:
    """The value at a JSON Pointer. Raises `LookupError`."""
    for part in split(pointer):
        if isinstance(root, dict):
            if part not in root:
                raise LookupError(f"there is no {pointer}")
            root = root[part]
        elif isinstance(root, list):
            root = root[_index(part, len(root) - 1)]
        else:
            raise LookupError(f"there is no {pointer}")
    return root


def absent(root: Any, pointer: str) -> bool:
    """Whether there is nothing at a JSON Pointer."""
    try:
        lookup(root, pointer)
    except LookupError:
        return True
    return False


def _index(part: str, highest: int) -> int:
    if not part.isascii() or not part.isdigit() or (part[0] == "0" and part != "0"):
        raise LookupError(f"{part!r} is no index")
    if int(part) > highest:
        raise LookupError(f"index {part} is past the end")
    return int(part)


def _parent(root: Any, pointer: str) -> tuple[Any, str]:
    head, _, _ = pointer.rpartition("/")
    return lookup(root, head), split(pointer)[-1]


def _add(root: Any, path: str, value: Any) -> None:
    if not path:
        if not isinstance(value, dict):
            raise ValueError("the state is an object and can't become anything else")
        dict.clear(root)
        dict.update(root, value)
        return
    parent, name = _parent(root, path)
    if isinstance(parent, dict):
        dict.__setitem__(parent, name, value)
    elif isinstance(parent, list):
        at = len(parent) if name == "-" else _index(name, len(parent))
        list.insert(parent, at, value)
    else:
        raise LookupError(f"nothing can be put at {path}")


def _take(root: Any, path: str) -> Any:
    if not path:
        raise ValueError("the state itself can't be removed")
    parent, name = _parent(root, path)
    if isinstance(parent, dict):
        if name not in parent:
            raise LookupError(f"there is no {path}")
        return dict.pop(parent, name)
    if isinstance(parent, list):
        return list.pop(parent, _index(name, len(parent) - 1))
    raise LookupError(f"there is no {path}")


def _take_and_add(root: Any, path: str, value: Any) -> None:
    parent, name = _parent(root, path)
    if isinstance(parent, dict):
        dict.__setitem__(parent, name, value)  # keeps its place among the members
    else:
        list.__setitem__(parent, _index(name, len(parent) - 1), value)


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


# -------------------------------------------------------------- mirror


class Mirror:
    """The state of this incarnation and its version.

    Changed only by what adrt said, in the order it said it. Should a change
    be interrupted halfway (an exception from a signal handler) or not be
    understood, the mirror is `stale` until the whole state has been read.
    """

    __slots__ = ("stale", "value", "version")

    def __init__(self) -> None:
        self.value = StateDict()
        self.version = 0
        self.stale = False

    def reset(self, value: dict[str, Any], version: int) -> None:
        """The whole state has come."""
        if version < self.version:
            return
        self.stale = True
        apply(self.value, "set", value, freeze)
        self.version = version
        self.stale = False

    def acknowledge(self, effect: Effect, version: int) -> None:
        """A change is on disk and has made this version.

        Hearing of the same version twice changes nothing: that is a repeat of
        a request which had been applied.
        """
        if version <= self.version:
            return
        was_stale, self.stale = self.stale, True
        for format, text in effect:
            apply(self.value, format, decode(text), freeze)
        self.version = version
        self.stale = was_stale

    def told(self, format: str, patch: Any, version: int) -> None:
        """Somebody else's change has made this version."""
        if version <= self.version:
            return
        was_stale, self.stale = self.stale, True
        if patch is None:
            self.version = version
            return
        apply(self.value, format, patch, freeze)
        self.version = version
        self.stale = was_stale
