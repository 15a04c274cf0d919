"""The version of this package, and the wire protocol it speaks.

Kept in a file of its own, of plain assignments, so that another copy of the
package can read it without importing anything (see `_aside`).
"""

__version__ = "0.1.0"

PROTOCOL = 1
"""Major version of the wire protocol, as in adrt-protocol(7)."""
