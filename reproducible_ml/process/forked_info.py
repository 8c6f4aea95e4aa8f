"""``run.info`` in a forked process: what is set there reaches no record, so it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class ForkedInfo(dict[str, Any]):
    """A fork's copy of ``run.info``, which says that a key that is set or removed is not recorded.

    The process that records the run keeps its plain dictionary. What changes within a nested value,
    or through a name that was bound to the dictionary before the fork, is not seen here.

    Args:
        info: The dictionary as it was at the fork.
        refuse: Called with each key that is set or removed.
    """

    def __init__(self, info: dict[str, Any], refuse: Callable[[str], object]) -> None:
        super().__init__(info)
        self._refuse = refuse

    def __setitem__(self, key: str, value: Any) -> None:
        self._refuse(str(key))
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self._refuse(str(key))
        super().__delitem__(key)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return a key's value; refuse to record the default."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *others: Any, **values: Any) -> None:
        """Set keys, each of which is refused."""
        for key, value in dict(*others, **values).items():
            self[key] = value

    def __ior__(self, other: Any) -> ForkedInfo:  # type: ignore[override,misc]
        self.update(other)
        return self

    def pop(self, key: str, *default: Any) -> Any:
        """Remove a key, which is refused."""
        if key in self:
            self._refuse(str(key))
        return super().pop(key, *default)
