"""How adrt's own copy of this package gives way to an installed one.

adrt puts the directory of its copy first on PYTHONPATH, since there is no
last place that site-packages would not come after. The copy is marked by an
empty file `_embedded`. If another copy that speaks the same protocol is
further along the path, that is the one the program was installed with, and
gets imported in place of this one. One that doesn't speak it (or can't be
told to) is passed over, for it could not talk to this adrt.
"""

from __future__ import annotations

import os
import sys

from ._version import PROTOCOL


def step_aside(name: str, own_directory: str) -> bool:
    """Puts the installed package into `sys.modules`; False if there is none to put."""
    directory = _installed(name, own_directory)
    if directory is None:
        return False
    from importlib.util import module_from_spec, spec_from_file_location

    init = os.path.join(directory, "__init__.py")
    spec = spec_from_file_location(name, init, submodule_search_locations=[directory])
    if spec is None or spec.loader is None:
        return False
    before = {key: module for key, module in sys.modules.items() if _belongs(key, name)}
    for key in before:
        del sys.modules[key]
    installed = module_from_spec(spec)
    sys.modules[name] = installed
    try:
        spec.loader.exec_module(installed)
    except Exception as error:  # broken: this copy works
        for key in [key for key in sys.modules if _belongs(key, name)]:
            del sys.modules[key]
        sys.modules.update(before)
        os.write(2, f"adaptive_runtime: {directory} can't be imported ({error})\n".encode())
        return False
    return True


def _belongs(key: str, name: str) -> bool:
    return key == name or key.startswith(name + ".")


def _installed(name: str, own_directory: str) -> str | None:
    """The directory of the first copy further along the path, if it is of use."""
    own = os.path.realpath(own_directory)
    for entry in sys.path:
        directory = os.path.join(entry or ".", name)
        if not os.path.isfile(os.path.join(directory, "__init__.py")):
            continue
        if os.path.realpath(entry or ".") != own:
            return directory if _speaks(directory) else None
    return None


def _speaks(directory: str) -> bool:
    """Whether the package there says it speaks our protocol, without importing it."""
    try:
        with open(os.path.join(directory, "_version.py"), encoding="utf-8") as file:
            return f"PROTOCOL = {PROTOCOL}" in file.read().splitlines()
    except OSError:
        return False
