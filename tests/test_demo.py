"""Does the demo show what it says: in print, in its picture and in its errors?"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

from per_step_dense import PerStepDense, __main__, config, demo

for _package in ("sklearn", "matplotlib", "tqdm"):
    pytest.importorskip(_package, reason="the demo's extra is not installed")

INSTALL_LINE = 'pip install "per_step_dense[demo]"'
TINY = ["--epochs", "3", "--seeds", "2", "--units", "16", "--device", "cpu"]
# name  parameters  accuracy [+- spread]
ROW = re.compile(r"^(\S.*?)  +([\d,]+)  ([01]\.\d{3})(?: \+- (\d\.\d{3}))?$", re.MULTILINE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """One run of the demo: what it printed and the picture it drew."""
    picture = tmp_path_factory.mktemp("demo") / "curves.png"
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("builtins.print", lambda text="", **_: lines.append(str(text)))
        assert demo.main([*TINY, "--output", str(picture)]) == 0
    return "\n".join(lines), picture


def rows_of(printed: str) -> dict[str, tuple[int, float, float]]:
    return {
        name: (int(parameters.replace(",", "")), float(accuracy), float(spread))
        for name, parameters, accuracy, spread in ROW.findall(printed)
    }


def test_the_layer_per_step_beats_both_shared_ones(run: tuple[str, Path]) -> None:
    rows = rows_of(run[0])
    assert list(rows) == [
        "one layer for all steps, 16 units",
        "one layer for all steps, 69 units",
        "PerStepDense, 16 units",
    ]
    shared, wide, per_step = (accuracy for _, accuracy, _ in rows.values())
    assert 0.1 < shared < 0.8 and 0.1 < wide < 0.8
    assert shared + 0.05 < per_step <= 1
    assert wide + 0.05 < per_step
    assert all(0 <= spread < 0.3 for _, _, spread in rows.values())


def test_parameter_counts_are_right_and_the_wide_control_is_fair(run: tuple[str, Path]) -> None:
    shared, wide, per_step = (parameters for parameters, _, _ in rows_of(run[0]).values())
    assert shared == (8 + 1) * 16 + (16 + 1) * 10
    assert wide == (8 + 1) * 69 + (69 + 1) * 10
    assert per_step == 8 * (8 + 1) * 16 + (16 + 1) * 10
    assert wide == pytest.approx(per_step, rel=0.02)


def test_says_what_the_data_is_and_what_ran(run: tuple[str, Path]) -> None:
    printed, picture = run
    assert "1797 handwritten digits" in printed
    assert "1347 to train on and 450 to test" in printed
    assert "(after 3 epochs; mean and standard deviation over 2 seeds)" in printed
    assert (
        f"kernel that ran: {config.kernel_name(torch.zeros(1, 8, 8), torch.zeros(8, 8, 4))}"
        in printed
    )
    assert f"learning curves: {picture}" in printed


def test_prints_plain_ascii(run: tuple[str, Path]) -> None:
    run[0].encode("ascii")


def test_picture_shows_all_three_curves(run: tuple[str, Path]) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.image import imread

    assert run[1].read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = torch.tensor(imread(run[1]))[..., :3]  # (height, width, 3)
    height, width = pixels.shape[:2]
    assert height >= 500 and width >= 1000
    plot = pixels[: int(0.8 * height), int(0.35 * width) :]  # the axes, without the legend
    for contender in demo.make_contenders(16):
        color = torch.tensor(to_rgb(contender.color))
        near = ((plot - color).abs().amax(dim=-1) < 0.02).sum().item()
        assert near > 500, f"{contender.name}: only {near} pixels of its colour"


def test_one_seed_and_one_epoch_claim_no_spread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "one.PNG"
    arguments = ["--epochs", "1", "--seeds", "1", "--units", "2", "--output", str(picture)]
    assert demo.main([*arguments, "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert len(ROW.findall(printed)) == 3
    assert "+-" not in printed and "nan" not in printed
    assert "(after 1 epoch; one seed)" in printed
    assert picture.stat().st_size > 10_000


def test_kernel_name_is_asked_about_the_tensor_that_ran(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[torch.Tensor] = []

    def kernel_name(x: torch.Tensor, weight: torch.Tensor) -> str:
        asked.extend((x, weight))
        return "a kernel of this test"

    monkeypatch.setattr(demo, "kernel_name", kernel_name)
    arguments = ["--epochs", "1", "--seeds", "1", "--output", str(tmp_path / "a.png")]
    assert demo.main([*arguments, "--device", "cpu"]) == 0
    assert "kernel that ran: a kernel of this test\n" in capsys.readouterr().out
    assert asked[0].shape[1:] == (8, 8) and asked[0].dtype == torch.float32
    assert asked[1].shape == (8, 8, 32)


def test_the_same_seed_trains_alike_and_another_does_not() -> None:
    digits = demo.load_digits(torch.device("cpu"))
    per_step = demo.make_contenders(8)[-1]
    first, again, other = (list(demo.train(per_step, digits, 2, seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_digits_are_scaled_split_evenly_and_never_shared() -> None:
    digits, again = (demo.load_digits(torch.device("cpu")) for _ in range(2))
    assert digits.train_x.shape == (1347, 8, 8) and digits.test_x.shape == (450, 8, 8)
    assert digits.train_x.min() == 0 and digits.train_x.max() == 1
    assert torch.equal(digits.test_x, again.test_x)
    assert digits.test_y.bincount(minlength=10).min() >= 40
    same = (digits.test_x.flatten(1)[:, None] == digits.train_x.flatten(1)).all(dim=-1)
    assert not same.any()


def test_contenders_are_what_they_are_called() -> None:
    """Only PerStepDense tells an image from the same image with its rows shuffled."""
    torch.manual_seed(0)
    x = torch.rand(5, 8, 8)
    shuffled = x[:, torch.randperm(8)]
    shared, wide, per_step = (contender.build() for contender in demo.make_contenders(16))
    assert isinstance(per_step[0], PerStepDense)
    torch.testing.assert_close(shared(x), shared(shuffled))
    torch.testing.assert_close(wide(x), wide(shuffled))
    assert (per_step(x) - per_step(shuffled)).abs().max() > 1e-2


def test_threads_are_as_before(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        demo.main(["--epochs", "1", "--seeds", "1", "--output", str(tmp_path / "a.png")])
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("module", ["sklearn.datasets", "matplotlib.figure", "tqdm"])
def test_missing_package_gives_the_install_line(
    module: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    picture = tmp_path / "a.png"
    assert demo.main([*TINY, "--output", str(picture)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("per_step_dense: the demo needs scikit-learn, matplotlib and")
    assert module in captured.err
    assert captured.err.rstrip().endswith(INSTALL_LINE)
    assert not picture.exists()


NONSENSE = [
    (["--epochs", "0"], "--epochs: must be a whole number of at least 1; got '0'"),
    (["--epochs", "-1"], "--epochs: must be a whole number of at least 1; got '-1'"),
    (["--seeds", "1.5"], "--seeds: must be a whole number of at least 1; got '1.5'"),
    (["--units", "many"], "--units: must be a whole number of at least 1; got 'many'"),
    (["--output", "curves.txt"], "--output: must end in .png; got 'curves.txt'"),
    (
        ["--output", "no/such/folder/a.png"],
        "--output: must be a file in an existing folder; got 'no/such/folder/a.png'",
    ),
    (["--device", "abacus"], "--device: must be cpu, cuda or cuda:N; got 'abacus'"),
    (["--device", "meta"], "--device: must be cpu, cuda or cuda:N; got 'meta'"),
    (
        ["--device", "cuda:99"],
        f"--device: torch sees {torch.cuda.device_count()} CUDA devices; got 'cuda:99'",
    ),
    (["--layers", "3"], "unrecognized arguments: --layers 3"),
]


@pytest.mark.parametrize(
    ("arguments", "text"), NONSENSE, ids=[" ".join(case[0]) for case in NONSENSE]
)
def test_nonsense_is_an_argparse_error(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        demo.main(arguments)
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("usage: python -m per_step_dense demo")
    assert text in error


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        demo.main(["--help"])
    assert raised.value.code == 0
    printed = capsys.readouterr().out
    for option in ("--epochs", "--seeds", "--units", "--output", "--device"):
        assert option in printed
    assert "per_step_dense_demo.png" in printed


def test_the_package_s_command_hands_its_arguments_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []

    def main(argv: list[str]) -> int:
        given.append(argv)
        return 7

    monkeypatch.setattr(demo, "main", main)
    assert __main__.main(["demo", "--epochs", "3"]) == 7
    assert given == [["--epochs", "3"]]
