"""The private names of PyTorch are there and do what `_compat` says of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tabstudio._compat import torch_functions, torch_objects


@pytest.fixture
def pair():
    return [torch.tensor([1.0, 4.0]), torch.tensor([9.0])]


def test_functions_over_many_tensors_work_in_place(pair):
    torch_functions.foreach_lerp_(pair, [torch.zeros(2), torch.zeros(1)], 0.5)
    torch_functions.foreach_mul_(pair, 2.0)
    torch_functions.foreach_add_(pair, 1.0)
    torch_functions.foreach_div_(pair, 2.0)
    torch_functions.foreach_addcmul_(
        pair, [torch.ones(2), torch.ones(1)], [torch.ones(2), torch.ones(1)], 3.0
    )
    assert [tensor.tolist() for tensor in pair] == [[4.0, 5.5], [8.0]]


def test_functions_over_many_tensors_return_new_ones(pair):
    assert [tensor.tolist() for tensor in torch_functions.foreach_sqrt(pair)] == [[1.0, 2.0], [3.0]]
    assert [float(norm) for norm in torch_functions.foreach_norm(pair)] == pytest.approx([17**0.5, 9.0])


def test_the_fused_adam_makes_the_step_of_the_public_one():
    ours, theirs = torch.ones(3), nn.Parameter(torch.ones(3))
    theirs.grad = torch.tensor([1.0, -2.0, 0.5])
    torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.01, fused=True).step()
    torch_functions.fused_adamw_(
        [ours], [theirs.grad], [torch.zeros(3)], [torch.zeros(3)], [], [torch.ones(())],
        lr=0.1, beta1=0.9, beta2=0.999, weight_decay=0.01, eps=1e-8, amsgrad=False, maximize=False,
    )  # fmt: skip
    assert torch.equal(ours, theirs.detach())


def test_operators_of_an_exported_graph_are_known():
    assert isinstance(torch.ops.aten.add.Tensor, torch_functions.OpOverload)


def test_the_item_of_a_tensor_is_the_original():
    assert torch_functions.tensor_item(torch.tensor(2.5)) == 2.5


def test_transforms_of_functions_are_noticed():
    assert torch_functions.function_transforms() is None
    noticed = []

    def look(row):
        noticed.append(torch_functions.function_transforms())
        return row

    torch.vmap(look)(torch.zeros(2))
    assert noticed[0] is not None


def test_the_processor_is_asked_for_bf16():
    assert all(hasattr(torch.cpu, name) for name in torch_functions._CPU_CHECKS)
    assert isinstance(torch_functions.cpu_has_bf16(), bool)


def test_nodes_of_the_graph_have_numbers_divisors_and_shapes():
    weights = torch.ones(4, requires_grad=True)
    product = weights * 2
    summed = product.sum()
    quotient = summed / torch.tensor(4.0)
    numbers = [torch_objects.sequence_number(made.grad_fn) for made in (product, summed, quotient)]
    assert numbers == sorted(set(numbers))
    assert torch_objects.sequence_number(product.grad_fn.next_functions[0][0]) >= 2**62
    assert float(torch_objects.divisor(quotient.grad_fn)) == 4.0
    assert torch_objects.divisor(summed.grad_fn) is None
    assert list(torch_objects.summed_shape(summed.grad_fn)) == [4]


def test_hooks_stand_in_the_dictionaries_of_a_module():
    module = nn.Linear(2, 1)
    module.register_forward_pre_hook(lambda *_: None, with_kwargs=True)
    module.register_forward_hook(lambda *_: None, with_kwargs=True, always_call=True)
    before, after = torch_objects.forward_hooks(module)
    state = module.__dict__
    for name, marks in torch_objects.FORWARD_HOOKS.items():
        assert state[name] is (before if "pre" in name else after)
        assert all(state[mark].keys() == state[name].keys() for mark in marks)
    hooks = {name for name in state if name.endswith("hooks") or "_hooks_" in name}
    others = {name for name in hooks if "state_dict" in name or "non_full" in name}
    assert hooks - others - {"_is_full_backward_hook"} == set(torch_objects.ALL_HOOKS)


def test_a_compiled_module_shows_the_original():
    module = nn.Linear(2, 1)
    assert torch_objects.original_module(torch.compile(module, backend="eager")) is module
    assert torch_objects.original_module(module) is module


def test_a_module_compiled_in_place_is_known():
    module = nn.Linear(2, 1)
    assert not torch_objects.is_compiled_in_place(module)
    module.compile(backend="eager")
    assert torch_objects.is_compiled_in_place(module)


def test_the_batches_of_a_loader_come_from_its_iterator():
    data = torch.utils.data.dataloader
    iterator = iter(data.DataLoader(torch.arange(4), batch_size=2))
    assert isinstance(iterator, torch_objects.batch_iterator_class(data))
    assert next(iterator).tolist() == [0, 1]
