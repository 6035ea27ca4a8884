"""The dictionary in which torchsparse keeps settings."""

from __future__ import annotations

from typing import Any


class AttributeDict(dict[str, Any]):
    """A dictionary whose entries are also attributes."""

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(f"there is no setting {name}; there are {', '.join(self)}", name=name, obj=self)
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def copy(self) -> AttributeDict:
        """A copy with the same entries."""
        return type(self)(self)
