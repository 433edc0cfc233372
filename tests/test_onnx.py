"""Does an exported ONNX model compute what the layer does? By onnxruntime."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import truth

import per_step_dense as psd
from per_step_dense import _ops

INSTALL = "needs pip install '.[interop]'"
for _package in ("onnx", "onnxscript"):
    pytest.importorskip(_package, reason=INSTALL)
onnxruntime = pytest.importorskip("onnxruntime", reason=INSTALL)

T, I, O = 5, 4, 3  # noqa: E741


class Model(torch.nn.Module):
    """A layer for each activation, one without a bias, one of a grid, and one of windows."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(
            psd.PerStepDense(T, I, O, activation=name) for name in truth.ACTIVATIONS
        )
        self.without_bias = psd.PerStepDense(T, I, O, bias=False)
        self.norm = torch.nn.LayerNorm(O)
        self.grid = psd.PerStepDense((T, 1), O, 2)
        self.windows = psd.LocallyConnected1d(T, I, O, 2, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden = self.without_bias(x)
        after_other_modules = self.grid(self.norm(hidden).unsqueeze(-2))
        of_steps = (layer(x) for layer in self.layers)
        return (*of_steps, hidden, after_other_modules, self.windows(x))


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(20)
    return Model().eval()


@pytest.fixture(scope="module")
def program(model: Model) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1)
    x = torch.randn(6, T, I)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: batch},))
    return program.run_decompositions(psd.export.decompositions())


def test_onnxruntime_computes_the_same(
    tmp_path: Path, model: Model, program: torch.export.ExportedProgram
) -> None:
    path = tmp_path / "model.onnx"
    torch.onnx.export(program, verbose=False).save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (name,) = (argument.name for argument in session.get_inputs())
    for batch in (1, 6, 9):
        x = torch.randn(batch, T, I)
        found = session.run(None, {name: x.numpy()})
        for mine, exact in zip(found, model(x), strict=True):
            torch.testing.assert_close(torch.from_numpy(mine), exact, rtol=1e-4, atol=1e-5)


def test_decomposed_program_has_torchs_ops_alone(
    model: Model, program: torch.export.ExportedProgram
) -> None:
    calls = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert calls
    assert not [name for name in calls if "per_step_dense" in name]
    x = torch.randn(7, T, I)
    torch.testing.assert_close(program.module()(x), model(x))


@pytest.mark.parametrize("family", ["sm90", "reference"])
def test_a_family_that_was_asked_for_is_left_out(family: str) -> None:
    """The program was traced in the context, and is to run where there is no such kernel."""
    layer, x = psd.PerStepDense(T, I, O, activation="relu"), torch.randn(6, T, I)
    with psd.use_kernel(family):
        program = torch.export.export(layer, (x,))
    (call,) = (node for node in program.graph.nodes if node.op == "call_function")
    assert call.args[-1] == family
    found = program.run_decompositions(psd.export.decompositions()).module()(x)
    torch.testing.assert_close(found, layer(x))


def test_core_aten_is_reached_beside_torchs_own_table() -> None:
    model = torch.nn.Sequential(psd.PerStepDense(T, I, O, activation="gelu_tanh")).eval()
    batch = torch.export.Dim("batch")
    example = torch.randn(6, T, I)
    program = torch.export.export(model, (example,), dynamic_shapes=({0: batch},))
    table = torch.export.default_decompositions() | psd.export.decompositions()
    program = program.run_decompositions(table)
    calls = {node.target for node in program.graph.nodes if node.op == "call_function"}
    assert all(call.namespace == "aten" for call in calls)
    x = torch.randn(9, T, I)
    torch.testing.assert_close(program.module()(x), model(x))


def test_autocast_becomes_casts() -> None:
    layer = psd.PerStepDense(T, I, O, activation="silu")

    class Autocast(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return self.layer(x)

    model, x = Autocast(), torch.randn(6, T, I)
    program = torch.export.export(model, (x,)).run_decompositions(psd.export.decompositions())
    found = program.module()(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, model(x))


def test_without_the_compiled_module_there_is_nothing_to_replace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert list(psd.export.decompositions()) == [torch.ops.per_step_dense.forward.default]
    monkeypatch.setattr(_ops, "compiled", None)
    assert psd.export.decompositions() == {}
