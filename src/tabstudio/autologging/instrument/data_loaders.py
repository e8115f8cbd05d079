"""Sees the passes of every `DataLoader`: where each begins, and which loop of the user it drives."""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import TYPE_CHECKING

from tabstudio._compat.torch_objects import batch_iterator_class
from tabstudio.autologging.events import LoaderPass
from tabstudio.autologging.instrument.patches import Patches
from tabstudio.autologging.trace.call_sites import CodeLoop, loops_of, user_frames
from tabstudio.autologging.trace.variable_names import names_of, part_of

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

_VISIT = "_tabstudio_visit"


class LoaderPasses:
    """Numbers the passes.

    `loader_pass` is that of the last batch, `training` holds the parts of data that were trained on.
    """

    def __init__(self) -> None:
        self.loader_pass: LoaderPass | None = None
        self.training: set[int] = set()
        self._passes = 0
        self._drivers: set[CodeLoop] = set()
        self._names: weakref.WeakKeyDictionary[object, str] = weakref.WeakKeyDictionary()
        self._patches = Patches()

    def drives(self, loop: CodeLoop) -> bool:
        """Say whether a loader has driven a loop."""
        return loop in self._drivers

    def install(
        self, module: ModuleType, guard: Callable[[Callable[..., None]], Callable[..., None]]
    ) -> None:
        """Wrap the beginning of a pass and the request for each batch: there are no hooks for them."""
        loader, iterator = module.DataLoader, batch_iterator_class(module)
        iterate, next_batch = loader.__iter__, iterator.__next__
        on_pass, on_batch = guard(self._pass_began), guard(self._before_batch)

        def watched_iter(self: object) -> object:
            batches = iterate(self)
            on_pass(self, batches, sys._getframe(1))
            return batches

        def watched_next(self: object) -> object:
            on_batch(self, sys._getframe(1))
            return next_batch(self)

        self._patches.set(loader, "__iter__", watched_iter)
        self._patches.set(iterator, "__next__", watched_next)

    def remove(self) -> None:
        """Put everything back."""
        self._patches.undo()

    def _pass_began(self, loader: DataLoader[object], iterator: object, frame: FrameType) -> None:
        if loader not in self._names:
            names = list(names_of(loader, frame))
            self._names[loader] = next((name for name in names if part_of(name)), "")
        self._passes += 1
        batch = float(loader.batch_size or math.nan)
        loader_pass = LoaderPass(self._passes, _part(loader), self._names[loader], batch)
        setattr(iterator, _VISIT, loader_pass)

    def _before_batch(self, iterator: object, frame: FrameType) -> None:
        self.loader_pass = getattr(iterator, _VISIT, None)
        if self.loader_pass is not None and not self.loader_pass.began:
            self.loader_pass.began = True
            self._drivers.update(_driven(frame))


def _part(loader: DataLoader[object]) -> int:
    """Return what tells the rows of a loader from those of others, not from the same in another order."""
    plain = type(loader.sampler).__name__ in (
        "SequentialSampler",
        "RandomSampler",
        "_InfiniteConstantSampler",
    )
    return id(loader.dataset) if plain else hash((id(loader.dataset), id(loader.sampler)))


def _driven(frame: FrameType) -> list[CodeLoop]:
    """Return the `for` that asks for a batch at this moment; none where `next` is called."""
    user = next(user_frames(frame), None)
    return [] if user is None else [loop for loop in loops_of(user.f_code) if loop.start == user.f_lasti]
