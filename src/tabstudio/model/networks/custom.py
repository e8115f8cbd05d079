"""A network of the user's own, any `torch.nn.Module`, run as the members of a pack one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tabstudio.errors import ConfigError
from tabstudio.model.networks.base import Pack
from tabstudio.model.networks.layers import with_one_hot

Factory = Callable[[int, int], nn.Module]


class Custom(Pack):
    """k modules of one factory, their parameters and buffers stacked along the member axis.

    `factory(inputs, outputs)` returns a module that maps (rows, inputs) to raw outputs (rows, outputs). The
    inputs are the `numbers` with the one-hot codes of every categorical column appended: inputs = numbers +
    sum of cardinalities. Raises `ConfigError` where it returns something else.

    Member m is made and run with torch's global random state set to what `torch.manual_seed(seeds[m])` and
    its own drawing so far have made of it; the state that was there before is put back.
    """

    def __init__(
        self, factory: Factory, seeds: Sequence[int], numbers: int, cardinalities: Sequence[int], outputs: int
    ) -> None:
        super().__init__(None, seeds)
        self.factory, self.outputs = factory, outputs
        self.shape = (numbers, tuple(cardinalities), outputs)
        self.cardinalities = tuple(cardinalities)
        modules = [self._made(m, numbers + sum(cardinalities)) for m in range(len(self))]
        _check_alike(modules)
        self._module = (modules[0],)
        self.names = [name for name, _ in modules[0].named_parameters()]
        stacks = (
            torch.stack(ps) for ps in zip(*([p.data for p in m.parameters()] for m in modules), strict=True)
        )
        self.stacked = nn.ParameterList(nn.Parameter(stack) for stack in stacks)
        self.buffer_names = [name for name, _ in modules[0].named_buffers()]
        for i, parts in enumerate(zip(*(m.buffers() for m in modules), strict=True)):
            self.register_buffer(f"buffer{i}", torch.stack(list(parts)))

    def description(self) -> dict[str, object]:
        """What network this is, as plain data: the factory's name and the module as it prints itself."""
        return {"factory": getattr(self.factory, "__qualname__", ""), "module": repr(self._module[0])}

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers, each with the member axis in front."""
        return super().tensors() | dict(self.named_buffers())

    def members(self, indices: Sequence[int]) -> Custom:
        """A pack of some of the members, with copies of their weights and random states."""
        chosen = Custom(self.factory, [self.seeds[i] for i in indices], *self.shape)
        chosen.take(self, indices)
        return chosen

    def train(self, mode: bool = True) -> Self:
        """Switch the modules as well."""
        super().train(mode)
        if hasattr(self, "_module"):
            self._module[0].train(mode)
        return self

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Raw outputs (k, rows, outputs) of modules that take numbers with one-hot codes appended.

        Raises `ConfigError` where the module's output is not (rows, outputs).
        """
        x = with_one_hot(numbers, codes, self.cardinalities)
        parameters = [p.unbind(0) for p in self.stacked]
        buffers = [b.unbind(0) for b in self.buffers()]
        raw = []
        for m in range(len(self)):
            tensors = dict(zip(self.names, (p[m] for p in parameters), strict=True))
            tensors |= dict(zip(self.buffer_names, (b[m] for b in buffers), strict=True))
            with self._random_state(m):
                raw.append(functional_call(self._module[0], tensors, (x[m] if x.dim() == 3 else x,)))
        if raw[0].shape != (x.shape[-2], self.outputs):
            raise ConfigError(
                f"option network: the module must map (rows, inputs) to (rows, {self.outputs}), but it "
                f"mapped {tuple(x.shape[-2:])} to {tuple(raw[0].shape)}"
            )
        return torch.stack(raw)

    def _made(self, member: int, inputs: int) -> nn.Module:
        with self._random_state(member):
            module = self.factory(inputs, self.outputs)
        if not isinstance(module, nn.Module):
            raise ConfigError(
                f"option network: the factory must return a torch.nn.Module, but it returned {module!r}"
            )
        return module.float()

    @contextmanager
    def _random_state(self, member: int) -> Iterator[None]:
        before = torch.get_rng_state()
        generator = self.generators[member]
        on_cpu = generator.device.type == "cpu"
        if on_cpu:
            torch.set_rng_state(generator.get_state())
        try:
            yield
        finally:
            if on_cpu:
                generator.set_state(torch.get_rng_state())
            torch.set_rng_state(before)


def _check_alike(modules: Sequence[nn.Module]) -> None:
    def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}

    if not shapes(modules[0]):
        raise ConfigError("option network: the factory's module has no parameters to train")
    if any(shapes(module) != shapes(modules[0]) for module in modules):
        raise ConfigError("option network: the factory must return modules of one shape at every call")
