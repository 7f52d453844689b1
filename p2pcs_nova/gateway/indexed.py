# SPDX-License-Identifier: Apache-2.0
"""Values by key, and those together that have something in common.

What is asked of a few of very many must not cost a look at each.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, MutableMapping
from typing import Generic, TypeVar

K = TypeVar('K', bound=Hashable)
V = TypeVar('V')


class Shelves(Generic[K, V]):
    """Values that have one thing in common stand on one shelf.

    :param label: what that is of a value; '': it stands on none
    """

    def __init__(self, label: Callable[[V], str]) -> None:
        self._label = label
        self._shelves: dict[str, dict[K, V]] = {}

    def put(self, key: K, value: V) -> None:
        """Have it on its shelf."""
        if label := self._label(value):
            self._shelves.setdefault(label, {})[key] = value

    def drop(self, key: K, value: V) -> None:
        """Take away what was put."""
        if label := self._label(value):
            shelf = self._shelves[label]
            del shelf[key]
            if not shelf:
                del self._shelves[label]

    def labels(self) -> list[str]:
        """Those of which there is any value."""
        return list(self._shelves)

    def keys(self, label: str) -> list[K]:
        """Those of one shelf, as they are now."""
        return list(self._shelves.get(label, ()))

    def values(self, label: str) -> list[V]:
        """Those of one shelf, as they are now."""
        return list(self._shelves.get(label, {}).values())


class Indexed(MutableMapping[K, V]):
    """A dictionary that keeps its values on shelves as well.

    :param shelves: in how many ways they are looked for
    """

    def __init__(self, *shelves: Shelves[K, V]) -> None:
        self._values: dict[K, V] = {}
        self._shelves = shelves

    def __getitem__(self, key: K) -> V:
        return self._values[key]

    def __setitem__(self, key: K, value: V) -> None:
        if key in self._values:
            del self[key]
        self._values[key] = value
        for one in self._shelves:
            one.put(key, value)

    def __delitem__(self, key: K) -> None:
        value = self._values.pop(key)
        for one in self._shelves:
            one.drop(key, value)

    def __iter__(self) -> Iterator[K]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
