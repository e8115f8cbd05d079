"""Records the seeds that the user's code sets for Python and NumPy; PyTorch's is read from PyTorch."""

from __future__ import annotations

import random
from types import ModuleType
from typing import TYPE_CHECKING

from tabstudio.autologging.events import Observer, WatchedTraining
from tabstudio.autologging.instrument.patches import Patches
from tabstudio.autologging.trace import call_arguments

if TYPE_CHECKING:
    from tabstudio.autologging.launch.session import AutologSession


class SeedObserver(Observer):
    """Notes the last seed of each kind; no random number is drawn and no state is read."""

    name = "seeds"

    def install(self, session: AutologSession) -> None:
        """Wrap the functions that set seeds: there are no hooks for them."""
        self._session = session
        self._patches = Patches()
        self._seeds: dict[str, object] = {}
        self._watch(random, "seed", "seed.random")
        session.imports.when("numpy.random", self._watch_numpy)

    def remove(self) -> None:
        """Put everything back."""
        self._patches.undo()

    def training_began(self, training: WatchedTraining) -> None:
        """Record the seeds that are set when a training begins."""
        if self._seeds:
            named = {f"{name}{training.suffix}": seed for name, seed in self._seeds.items()}
            self._session.params(named, training.run)

    def _watch_numpy(self, module: ModuleType) -> None:
        self._watch(module, "seed", "seed.numpy")
        self._watch(module, "default_rng", "seed.numpy.default_rng")

    def _watch(self, module: ModuleType, name: str, called: str) -> None:
        function, on_seed = getattr(module, name), self._session.guarded(self, self._was_set)

        def watched(*args: object, **kwargs: object) -> object:
            result = function(*args, **kwargs)
            on_seed(called, args, kwargs)
            return result

        self._patches.set_function(module, name, function, watched)

    def _was_set(self, called: str, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        seed = next(iter((*args, *kwargs.values())), None)
        if call_arguments.calling_frame() is None:
            return
        if isinstance(seed, int | str) or getattr(seed, "ndim", None) == 0:
            self._seeds[called] = seed
        else:
            self._seeds.pop(called, None)
