"""A memory as a `bytearray` is used: len, indices, slices, bytes.

Owns: `Indexing` of the blocking half. Law: the same results as a `bytearray` of the memory's bytes has,
but for its length, which an assignment never changes. A slice longer than one call carries (63 pages)
goes as a stream and is no snapshot; a stepped one is read as the range that covers it.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import SupportsIndex, overload

from linmem import op, slices
from linmem.transfer import Transfer


class Indexing(Transfer):
    """Indices, slices and lengths."""

    #: The size as it was last told. A memory never shrinks, so that it is at least this.
    _known = 0

    def size(self) -> int:
        """Its size now, in bytes."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Its size now, in bytes: a call."""
        self._known = self.size()
        return self._known

    def __bool__(self) -> bool:
        """A memory is true, also one without pages."""
        return True

    def __bytes__(self) -> bytes:
        """All of its bytes, as long as it is now."""
        return self.pull(0, len(self))

    def __iter__(self) -> Iterator[int]:
        """Its bytes in order, as long as it is when this begins."""
        for chunk in self.download(0, len(self)):
            yield from chunk

    @overload
    def __getitem__(self, key: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> bytes: ...
    def __getitem__(self, key: SupportsIndex | slice) -> int | bytes:
        """A byte, or the bytes of a slice."""
        if isinstance(key, slice):
            plain = slices.plain_bounds(key, self._known)
            if plain is not None:
                return self.pull(*plain)
            wanted = slices.spots(key, len(self))
            return slices.chosen(self.pull(*slices.covering(wanted)), wanted)
        return self.read(self._at(key), 1)[0]

    def __setitem__(
        self, key: SupportsIndex | slice, value: int | bytes | bytearray | memoryview | Iterable[int]
    ) -> None:
        """Sets a byte, or the bytes of a slice to as many others. A stepped slice is one group, whole
        or not at all."""
        if isinstance(key, slice):
            if isinstance(value, int):
                raise TypeError("a slice is set to bytes, not to a number")
            data = bytes(value)
            wanted = slices.spots(key, len(self))
            if len(data) != len(wanted):
                raise ValueError(f"{len(wanted)} bytes cannot become {len(data)}: no slice resizes")
            if wanted.step == 1:
                self.push(wanted.start, data)
            elif data:
                self.execute([op.scatter(1, list(wanted), data)])
        elif isinstance(value, int):
            self.write(self._at(key), bytes([value]))
        else:
            raise TypeError("a byte is set to a number from 0 to 255")

    def __delitem__(self, key: SupportsIndex | slice) -> None:
        """Never: a memory does not shrink."""
        raise TypeError("a memory does not shrink; see fill and discard")

    def _at(self, key: SupportsIndex) -> int:
        # Only what lies within what is known is known without asking; the end is not.
        if 0 <= operator.index(key) < self._known:
            return operator.index(key)
        return slices.one(key, len(self))
