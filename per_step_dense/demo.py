"""What the layer is for, shown on real data: ``python -m per_step_dense demo``.

Handwritten digits are read row by row, as sequences. Three classifiers that average over time are
trained alike; only the one with a layer per step can know which row it is reading.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .config import kernel_name
from .module import PerStepDense

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS = 8
FEATURES = 8
CLASSES = 10
BATCH_SIZE = 128
LEARNING_RATE = 1e-2

INSTALL_LINE = 'pip install "per_step_dense[demo]"'

EXPLANATION = f"""\
Data: {{images}} handwritten digits of {STEPS} x {FEATURES} pixels (UCI's, from scikit-learn),
{{train}} to train on and {{test}} to test. An image is read row by row: a sequence of
{STEPS} time steps with {FEATURES} features each.

Model: a dense layer with ReLU at every step, the mean over the steps, a linear
classifier.

A layer shared by all steps cannot know which row it is looking at, and the mean
forgets the order: an image and the same image with its rows shuffled are one to
it. More units help only a little. PerStepDense has weights of its own for every
step, so it can look for one stroke at the top and for another at the bottom.
(Reading the whole image at once would work too: this is about models that go
step by step.)
"""


@dataclass(frozen=True)
class Digits:
    """The images as sequences scaled to [0, 1], and what they show."""

    train_x: Tensor  # (N, STEPS, FEATURES)
    train_y: Tensor  # (N,)
    test_x: Tensor  # (M, STEPS, FEATURES)
    test_y: Tensor  # (M,)


@dataclass(frozen=True)
class Contender:
    """One way to build the layer, and how the report and the picture show it."""

    name: str
    color: str
    build_layer: Callable[[], nn.Module]  # (B, STEPS, FEATURES) -> (B, STEPS, units), activated

    def build(self) -> nn.Sequential:
        """A classifier with fresh weights."""
        layer = self.build_layer()
        with torch.no_grad():
            units = layer(torch.zeros(1, STEPS, FEATURES)).size(-1)
        return nn.Sequential(layer, MeanOverTime(), nn.Linear(units, CLASSES))

    def count_parameters(self) -> int:
        """The number of weights that training can change, the classifier's included."""
        return sum(parameter.numel() for parameter in self.build().parameters())


class MeanOverTime(nn.Module):
    """(B, T, O) -> (B, O)."""

    def forward(self, x: Tensor) -> Tensor:
        """Averages over the steps."""
        return x.mean(dim=-2)


def main(argv: Sequence[str] | None = None) -> int:
    """Trains the contenders, prints what came of it and draws the learning curves.

    Args:
        argv: the arguments after ``demo``; None takes those of the process.

    Returns:
        The exit status: 0, or 1 where a package of the extra ``demo`` is missing.
    """
    options = _parse(argv)
    try:
        import matplotlib.figure  # noqa: F401
        import sklearn.datasets  # noqa: F401
        import tqdm  # noqa: F401
    except ImportError as error:
        print(
            "per_step_dense: the demo needs scikit-learn, matplotlib and tqdm "
            f"({error}); install them with\n\n    {INSTALL_LINE}\n",
            file=sys.stderr,
        )
        return 1

    digits = load_digits(options.device)
    contenders = make_contenders(options.units)
    train, test = len(digits.train_y), len(digits.test_y)
    print(EXPLANATION.format(images=train + test, train=train, test=test), flush=True)
    with _one_thread():
        accuracies = train_all(contenders, digits, options.epochs, options.seeds)
    print(format_report(contenders, accuracies))

    weight = digits.train_x.new_empty(STEPS, FEATURES, options.units)
    print(f"\nkernel that ran: {kernel_name(digits.train_x[:BATCH_SIZE], weight)}")
    draw(contenders, accuracies, digits, options.output)
    print(f"learning curves: {options.output}")
    return 0


def load_digits(device: torch.device) -> Digits:
    """scikit-learn's digits (bundled, nothing is downloaded), always split alike."""
    from sklearn.datasets import load_digits as load_from_sklearn
    from sklearn.model_selection import train_test_split

    data = load_from_sklearn()
    images = torch.tensor(data.images / 16, dtype=torch.float32)  # pixels are 0 to 16
    train, test = train_test_split(
        range(len(images)), test_size=0.25, random_state=0, stratify=data.target
    )
    labels = torch.tensor(data.target, dtype=torch.int64)
    parts = (images[train], labels[train], images[test], labels[test])
    return Digits(*(part.to(device) for part in parts))


def make_contenders(units: int) -> list[Contender]:
    """The shared layer, one widened to as many parameters as PerStepDense, and PerStepDense."""
    inputs = FEATURES + 1  # with the bias
    per_step_parameters = (STEPS * inputs + CLASSES) * units
    wide_units = round(per_step_parameters / (inputs + CLASSES))

    def shared(units: int) -> nn.Module:
        return nn.Sequential(nn.Linear(FEATURES, units), nn.ReLU())

    def per_step() -> nn.Module:
        return PerStepDense(STEPS, FEATURES, units, activation="relu")

    return [
        Contender(f"one layer for all steps, {units} units", "#D55E00", lambda: shared(units)),
        Contender(
            f"one layer for all steps, {wide_units} units", "#7A5195", lambda: shared(wide_units)
        ),
        Contender(f"PerStepDense, {units} units", "#0072B2", per_step),
    ]


def train_all(
    contenders: Sequence[Contender], digits: Digits, epochs: int, seeds: int
) -> dict[str, Tensor]:
    """Trains every contender from every seed.

    Returns:
        By the contender's name, the test accuracy after every epoch: (seeds, epochs).
    """
    from tqdm import tqdm

    accuracies = {contender.name: torch.zeros(seeds, epochs) for contender in contenders}
    total = len(contenders) * seeds * epochs
    with tqdm(total=total, unit="epoch", disable=None, leave=False) as progress:
        for contender in contenders:
            progress.set_description(contender.name)
            for seed in range(seeds):
                for epoch, accuracy in enumerate(train(contender, digits, epochs, seed)):
                    accuracies[contender.name][seed, epoch] = accuracy
                    progress.update()
    return accuracies


def train(contender: Contender, digits: Digits, epochs: int, seed: int) -> Iterator[float]:
    """Trains one classifier, yielding its test accuracy after every epoch."""
    torch.manual_seed(seed)
    model = contender.build().to(digits.train_x.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    # Batches come from a generator of their own: every contender sees the same ones.
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(len(digits.train_y), generator=generator)
        for batch in order.to(digits.train_x.device).split(BATCH_SIZE):
            optimizer.zero_grad()
            logits = model(digits.train_x[batch])
            nn.functional.cross_entropy(logits, digits.train_y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            hits = model(digits.test_x).argmax(dim=-1) == digits.test_y
        yield hits.float().mean().item()


def format_report(contenders: Sequence[Contender], accuracies: dict[str, Tensor]) -> str:
    """The table of parameter counts and final test accuracies."""
    seeds, epochs = next(iter(accuracies.values())).shape
    width = max(len(contender.name) for contender in contenders)
    lines = [f"{'':{width}}  parameters  test accuracy"]
    for contender in contenders:
        final = accuracies[contender.name][:, -1]
        line = f"{contender.name:{width}}  {contender.count_parameters():>10,}  {final.mean():.3f}"
        if seeds > 1:
            line += f" +- {final.std():.3f}"
        lines.append(line)
    source = f"mean and standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    lines.append(f"(after {epochs} {'epochs' if epochs > 1 else 'epoch'}; {source})")
    return "\n".join(lines)


def draw(
    contenders: Sequence[Contender],
    accuracies: dict[str, Tensor],
    digits: Digits,
    output: Path,
) -> None:
    """Draws one digit as the models read it, and the learning curves."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    finals = [accuracies[contender.name][:, -1].mean().item() for contender in contenders]
    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)  # draws to memory, needs no display
    figure.suptitle(
        f"Digits read row by row: {finals[-1]:.0%} right with a dense layer per step, "
        f"{finals[0]:.0%} with one for all steps",
        fontsize=13,
        fontweight="bold",
    )
    image_axes, curve_axes = figure.subplots(1, 2, width_ratios=(1, 2.6))
    _draw_image(image_axes, digits.train_x[0], digits.train_y[0])
    for contender, final in zip(contenders, finals, strict=True):
        label = f"{contender.name}: {final:.0%}\n({contender.count_parameters():,} parameters)"
        _draw_curve(curve_axes, accuracies[contender.name], contender.color, label)
    seeds, epochs = next(iter(accuracies.values())).shape
    _finish_curves(curve_axes, epochs, seeds)
    figure.legend(loc="outside lower center", ncols=len(contenders), reverse=True, frameon=False)
    figure.savefig(output, dpi=150)


def _draw_image(axes: Axes, image: Tensor, label: Tensor) -> None:
    """One image as the models read it, a line between the steps."""
    axes.imshow(image.cpu().numpy(), cmap="gray_r")
    axes.set_title(f"One image (a {label}): {STEPS} time steps", fontsize=11)
    axes.set_yticks(range(STEPS), [f"step {t}" for t in range(STEPS)])
    axes.set_xticks(range(FEATURES))
    axes.set_xlabel(f"{FEATURES} features")
    for t in range(1, STEPS):
        axes.axhline(t - 0.5, color="#0072B2", linewidth=1)


def _draw_curve(axes: Axes, accuracy: Tensor, color: str, label: str) -> None:
    """The mean over seeds as a line, the span of all seeds as a band."""
    curves = accuracy.numpy()  # (seeds, epochs)
    epoch = range(1, curves.shape[1] + 1)
    axes.plot(epoch, curves.mean(axis=0), color=color, marker="o", markersize=3, label=label)
    lowest, highest = curves.min(axis=0), curves.max(axis=0)
    axes.fill_between(epoch, lowest, highest, color=color, alpha=0.2, linewidth=0)


def _finish_curves(axes: Axes, epochs: int, seeds: int) -> None:
    """Titles, scales and the line of guessing."""
    from matplotlib.ticker import MaxNLocator

    chance = 1 / CLASSES
    axes.axhline(chance, color="#555555", linewidth=1, linestyle=":")
    axes.annotate(
        f"guessing: {chance:.0%}",
        (1, chance),
        xycoords=("axes fraction", "data"),
        xytext=(-4, 3),
        textcoords="offset points",
        color="#555555",
        horizontalalignment="right",
    )
    axes.set_title(
        f"Test accuracy (line: mean, band: lowest to highest of {seeds} seeds)"
        if seeds > 1
        else "Test accuracy (one seed)",
        fontsize=11,
    )
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(1, max(epochs, 2))
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.grid(color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The matrices are so small that a second thread costs more than it computes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m per_step_dense demo",
        description=textwrap.dedent(__doc__ or "").split("\n\n", 1)[1],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--epochs", type=_at_least_one, default=30, help="passes over the data")
    parser.add_argument("--seeds", type=_at_least_one, default=5, help="runs of every model")
    parser.add_argument("--units", type=_at_least_one, default=32, help="outputs of every step")
    parser.add_argument(
        "--output",
        type=_png_path,
        default=Path("per_step_dense_demo.png"),
        help="the picture to write",
    )
    parser.add_argument(
        "--device",
        type=_device,
        default=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        help="cpu, cuda or cuda:N",
    )
    return parser.parse_args(argv)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1; got {text!r}")
    return int(text)


def _png_path(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"must end in .png; got {text!r}")
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"must be a file in an existing folder; got {text!r}")
    return path


def _device(text: str) -> torch.device:
    try:
        device = torch.device(text)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise argparse.ArgumentTypeError(f"must be cpu, cuda or cuda:N; got {text!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise argparse.ArgumentTypeError(f"torch sees {count} CUDA devices; got {text!r}")
    return device
