"""Replaces attributes of libraries and restores them; calls back when a library is imported."""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

from tabstudio._compat.python import is_being_imported

Imported = Callable[[ModuleType], None]


class Patches:
    """Attributes that were replaced, each put back by `undo` unless somebody else has replaced it since."""

    def __init__(self) -> None:
        self._done: list[tuple[object, str, object, object, bool]] = []

    def set(self, owner: object, name: str, value: object) -> None:
        """Replace `owner.name`. An inherited attribute is taken away again by `undo`, not copied."""
        own = name in vars(owner)
        before = vars(owner)[name] if own else getattr(owner, name)
        setattr(owner, name, value)
        self._done.append((owner, name, before, value, own))

    def set_function(
        self, module: ModuleType, name: str, function: Callable[..., object], watched: Callable[..., object]
    ) -> None:
        """Replace a library's function by `watched`, in a script that has imported it already, too."""
        functools.update_wrapper(watched, function)
        self.set(module, name, watched)
        main = sys.modules["__main__"]
        for own, value in list(vars(main).items()):
            if value is function:
                self.set(main, own, watched)

    def undo(self) -> None:
        """Put everything back, the last first."""
        while self._done:
            owner, name, before, value, own = self._done.pop()
            if vars(owner).get(name) is not value:
                continue
            if own:
                setattr(owner, name, before)
            else:
                delattr(owner, name)


class _Finder(importlib.abc.MetaPathFinder):
    """Stands first in `sys.meta_path` and lets the others find; it only listens to what is executed."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[Imported]] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self.waiting:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, self)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    """The module's own loader; after it has run, those who waited for the module are called."""

    def __init__(self, loader: importlib.abc.Loader, finder: _Finder) -> None:
        self._loader, self._finder = loader, finder

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        for call in self._finder.waiting.pop(module.__name__, ()):
            call(module)

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)


class ImportHooks:
    """Calls back when a module is imported, at once where it has been already."""

    def __init__(self) -> None:
        self._finder = _Finder()

    def when(self, name: str, call: Imported) -> None:
        """Call with the module `name` as soon as it has been executed."""
        module = sys.modules.get(name)
        if module is not None and not is_being_imported(module):
            call(module)
            return
        self._finder.waiting.setdefault(name, []).append(call)
        if self._finder not in sys.meta_path:
            sys.meta_path.insert(0, self._finder)

    def undo(self) -> None:
        """Remove the finder from `sys.meta_path`."""
        self._finder.waiting.clear()
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
