"""A heap whose entries may be moved and withdrawn: stale ones are dropped when they come to the top."""

from __future__ import annotations

from heapq import heapify, heappop, heappush


class LazyHeap:
    """Keys of numbered entries, the smallest at hand; each operation costs the logarithm of their number."""

    __slots__ = ("_heap", "_keys")

    def __init__(self) -> None:
        self._heap: list[tuple[float, float]] = []
        self._keys: dict[float, float] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, entry: float, key: float) -> None:
        """Add an entry, or move it to another key."""
        if self._keys.get(entry) == key:
            return
        self._keys[entry] = key
        heappush(self._heap, (key, entry))
        if len(self._heap) > 2 * len(self._keys) + 8:
            self._rebuild()

    def key(self, entry: float) -> float:
        """The key of an entry."""
        return self._keys[entry]

    def discard(self, entry: float) -> None:
        """Withdraw an entry, if it is there."""
        self._keys.pop(entry, None)

    def first(self) -> tuple[float, float]:
        """The smallest key and its entry, the lowest-numbered one of equals; the heap must not be empty."""
        heap, keys = self._heap, self._keys
        while keys.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0]

    def shift(self, by: float) -> None:
        """Subtract this from every key."""
        self._keys = {entry: key - by for entry, key in self._keys.items()}
        self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [(key, entry) for entry, key in self._keys.items()]
        heapify(self._heap)
