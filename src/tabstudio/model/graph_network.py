"""A network of the user's own as data: a graph of PyTorch's operators in JSON, and its weights.

`torch.export` turns any module whose path through the code does not depend on values into such a graph. Its
own archive is read with pickle; this form is not: a node names one operator of `OPERATORS`, each of which
computes a tensor from tensors and nothing else, so that loading a model runs no code that came with it.

    {"nodes": [{"name": "y", "do": "aten.linear.default", "args": [{"node": "x"}, {"weight": "fc1.weight"}]}],
     "input": "x", "output": {"node": "y"}, "answers": "logits"}
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tabstudio._compat.torch_functions import OpOverload
from tabstudio.errors import ModelError
from tabstudio.model.networks import Pack

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_NAMES = """
_assert_scalar _assert_tensor_metadata _log_softmax _softmax _to_copy _unsafe_view abs acos acosh
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d add addbmm addcdiv addcmul addmm alias
all alpha_dropout amax amin any arange argmax argmin argsort asin asinh atan atan2 atanh avg_pool1d
avg_pool2d baddbmm batch_norm bitwise_and bitwise_not bitwise_or bmm broadcast_to bucketize cat ceil
celu chunk clamp clamp_max clamp_min clone concat constant_pad_nd contiguous conv1d conv2d
conv_transpose1d cos cosh cosine_similarity cummax cumprod cumsum detach detach_ diag_embed diagonal
div dot dropout einsum elu embedding embedding_bag eq erf erfc exp exp2 expand expand_as expm1 eye
feature_alpha_dropout feature_dropout fill flatten flip floor floor_divide fmod frac full full_like
gather ge gelu glu group_norm gru gt hardshrink hardsigmoid hardswish hardtanh index index_select
instance_norm isfinite isinf isnan layer_norm le leaky_relu lerp lift_fresh lift_fresh_copy linear
linspace log log10 log1p log2 log_sigmoid log_softmax logaddexp logical_and logical_not logical_or
logical_xor logit logsumexp lstm lt masked_fill matmul max max_pool1d max_pool2d maximum mean median
min minimum mish mm mul mv nan_to_num narrow ne neg new_full new_ones new_zeros norm numel one_hot
ones ones_like outer pad permute pixel_shuffle pow prelu prod ravel reciprocal relu relu6 remainder
repeat repeat_interleave reshape rms_norm rnn_relu rnn_tanh round rrelu rsqrt rsub scalar_tensor
scaled_dot_product_attention scatter select selu sigmoid sign silu sin sinh size slice softmax
softplus softshrink sort split split_with_sizes sqrt square squeeze stack std sub sum swapaxes
sym_constrain_range_for_size sym_size t tan tanh tanhshrink threshold tile to topk transpose tril
triu trunc type_as unbind unflatten unfold unsqueeze upsample_nearest1d var view view_as where xlogy
zeros zeros_like
"""
OPERATORS = frozenset(_NAMES.split())
"""ATen operators, by name, that a graph may call; their in-place forms (`relu_`) too."""
_NUMBERS = "add sub mul truediv floordiv mod neg pow getitem eq ne lt le gt ge"
_ON_NUMBERS = frozenset(_NUMBERS.split())
"""Functions of the module `operator`, on sizes and on results of several parts."""
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
    )
}
_FORMATS = {
    str(form).removeprefix("torch."): form
    for form in (torch.contiguous_format, torch.preserve_format, torch.channels_last)
}
_LEFT_OUT = ("layout", "pin_memory")
ANSWERS = ("logits", "probabilities", "values")


class Graph(Pack):
    """A pack of one member that walks a graph. Raw outputs are those of every pack: logits, or a value.

    `answers` says what the network itself gives. Probabilities become the logits that give them back; a
    network with two outputs for two classes becomes one with their difference.
    """

    def __init__(self, graph: Mapping[str, Any], tensors: Mapping[str, Tensor], outputs: int) -> None:
        super().__init__(None, [0])
        self.graph, self.outputs = dict(graph), outputs
        self.answers = _answers(graph["answers"])
        self.weights = nn.ParameterDict()
        self.places: dict[str, str] = {}
        for index, (name, tensor) in enumerate(tensors.items()):
            self.places[name] = f"tensor{index}"
            self.weights[f"tensor{index}"] = nn.Parameter(tensor, requires_grad=False)
        self.nodes = [(node["name"], _operator(node["do"]), node) for node in graph["nodes"]]

    def __repr__(self) -> str:
        parameters = sum(weight.numel() for weight in self.weights.values())
        return f"Graph({len(self.nodes)} operators, {parameters:,} parameters)"

    def description(self) -> dict[str, Any]:
        """What network this is, as plain data."""
        return {"operators": [node["do"] for node in self.graph["nodes"]]}

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:  # noqa: ARG002 - as every pack
        """Raw outputs (1, rows, outputs), float64. `codes` are empty.

        Raises `ModelError` where the network gives another shape.
        """
        return self._as_logits(self.answer(numbers)).unsqueeze(0)

    def answer(self, numbers: Tensor) -> Tensor:
        """What the network itself gives for rows (n, d)."""
        known: dict[str, object] = {self.graph["input"]: numbers}
        for name, function, node in self.nodes:
            args = [self._value(value, known) for value in node["args"]]
            kwargs = {key: self._value(value, known) for key, value in node.get("kwargs", {}).items()}
            known[name] = function(*args, **kwargs)
        answer: Tensor = self._value(self.graph["output"], known)
        return answer

    def _as_logits(self, answer: Tensor) -> Tensor:
        answer = answer.unsqueeze(1) if answer.dim() == 1 else answer
        two = self.outputs == 1 and self.answers != "values" and answer.shape[-1] == 2
        if answer.dim() != 2 or answer.shape[1] not in (self.outputs, 1 + two):
            raise ModelError(
                f"a network that maps (rows, {self.graph['width']}) to (rows, {self.outputs}) was expected, "
                f"this one gives {tuple(answer.shape)}"
            )
        answer = answer.double()
        if self.answers == "probabilities":
            one = self.outputs == 1 and not two
            answer = torch.logit(answer) if one else torch.log(answer)
        return answer[:, 1:] - answer[:, :1] if two else answer

    def _value(self, value: object, known: Mapping[str, object]) -> Any:
        if isinstance(value, list):
            return [self._value(inner, known) for inner in value]
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        if kind == "node":
            return known[content]
        if kind == "weight":
            return self.weights[self.places[content]]
        if kind == "number":
            return float(content)
        if kind == "device":
            return next(self.parameters()).device
        return _DTYPES[content] if kind == "dtype" else _FORMATS[content]

    def to_json(self) -> dict[str, object]:
        """The graph with the names of its weights, in the order of the tensors of `state_dict`."""
        return {**self.graph, "weights": list(self.places), "outputs": self.outputs}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], state: Mapping[str, Tensor]) -> Graph:
        """The pack that `to_json` and `state_dict` wrote.

        Raises `ModelError` for an operator that is not allowed.
        """
        tensors = {name: state[f"weights.tensor{index}"] for index, name in enumerate(data["weights"])}
        graph = {key: value for key, value in data.items() if key not in ("weights", "outputs")}
        return cls(graph, tensors, data["outputs"])


def _answers(word: str) -> str:
    if word not in ANSWERS:
        raise ModelError(f"answers: one of {', '.join(ANSWERS)} was expected, got {word!r}")
    return word


def _operator(name: str) -> Callable[..., object]:
    """The function that a node names. Raises `ModelError` for one that is not in the lists above."""
    home, _, rest = name.partition(".")
    word, _, overload = rest.partition(".")
    if home == "operator" and word in _ON_NUMBERS:
        function: Callable[..., object] = getattr(operator, word)
        return function
    if home == "aten" and word.removesuffix("_") in OPERATORS:
        packet = getattr(torch.ops.aten, word)
        if overload in packet.overloads():
            operation: Callable[..., object] = getattr(packet, overload)
            return operation
    raise ModelError(
        f"the network calls {name}, which is not among the operators that a model as data may call: keep it "
        "with mlflow.pytorch.log_model, or train it by tabstudio.train(..., network=factory)"
    )


def graph_of(
    program: ExportedProgram, answers: str | None, classes: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The graph of an exported network of one input and one output, and its tensors by name.

    `answers` is told, or read from the last operator: after a sigmoid or softmax they are probabilities.

    Raises `ModelError` for a network of several inputs or outputs and for what cannot be written as data.
    """
    signature = program.graph_signature
    inputs = [spec for spec in signature.input_specs if spec.target is None]
    if len(inputs) != 1 or len(signature.output_specs) != 1:
        raise ModelError(
            f"a network with one input and one output was expected, this one has {len(inputs)} and "
            f"{len(signature.output_specs)}: rows of a table come in as one tensor (rows, columns)"
        )
    weights = {spec.arg.name: str(spec.target) for spec in signature.input_specs if spec.target is not None}
    tensors = {**program.state_dict, **program.constants}
    nodes, output = [], None
    for node in program.graph.nodes:
        if node.op == "call_function":
            nodes.append(_node(node, weights))
        elif node.op == "output":
            output = _encoded(node.args[0][0], weights)
        elif node.op != "placeholder":
            raise ModelError(f"the network's graph has a part that is no operator: {node.target}")
    graph = {
        "nodes": nodes,
        "input": inputs[0].arg.name,
        "width": int(_meta(program, inputs[0].arg.name).shape[-1]),
        "output": output,
        "answers": answers or _read_answers(nodes, output, classes),
    }
    return graph, {name: tensors[name].detach().contiguous() for name in weights.values()}


def _meta(program: ExportedProgram, name: str) -> Tensor:
    values: Iterator[Tensor] = (node.meta["val"] for node in program.graph.nodes if node.name == name)
    return next(values)


def _node(node: torch.fx.Node, weights: Mapping[str, str]) -> dict[str, Any]:
    target = node.target
    is_aten = isinstance(target, OpOverload)
    name = str(target) if is_aten else f"operator.{getattr(target, '__name__', target)}"
    _operator(name)
    encoded = {"name": node.name, "do": name, "args": [_encoded(value, weights) for value in node.args]}
    kwargs = {k: _encoded(v, weights) for k, v in node.kwargs.items() if k not in _LEFT_OUT}
    return {**encoded, "kwargs": kwargs} if kwargs else encoded


def _encoded(value: object, weights: Mapping[str, str]) -> Any:
    if isinstance(value, torch.fx.Node):
        return {"weight": weights[value.name]} if value.name in weights else {"node": value.name}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_encoded(inner, weights) for inner in value]
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": "the weights'"}
    if isinstance(value, torch.memory_format):
        return {"format": str(value).removeprefix("torch.")}
    if isinstance(value, float) and not -torch.inf < value < torch.inf:
        return {"number": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ModelError(f"the network holds {value!r}, which cannot be written as data")


def _read_answers(nodes: Sequence[Mapping[str, Any]], output: Any, classes: int) -> str:
    if not classes:
        return "values"
    by_name = {node["name"]: node for node in nodes}
    node = by_name.get(output.get("node", ""), {})
    while node and _word(node) in ("view", "squeeze", "reshape", "flatten", "unsqueeze"):
        node = by_name.get(node["args"][0].get("node", ""), {})
    return "probabilities" if node and _word(node) in ("sigmoid", "softmax", "_softmax") else "logits"


def _word(node: Mapping[str, object]) -> str:
    return str(node["do"]).split(".")[1]
