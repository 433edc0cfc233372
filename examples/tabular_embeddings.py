"""A tabular model from another library, converted: its features' own linear layers in one call.

    pip install 'per_step_dense[examples]'
    python examples/tabular_embeddings.py

Data: scikit-learn's breast cancer (bundled, nothing is downloaded): 569 tumours, 30 measurements of
each, and whether it was malignant. The model is an MLP on piecewise-linear embeddings of the
measurements (Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep
Learning"), from its authors' rtdl_num_embeddings: every measurement is cut into bins and goes
through a linear layer of its own. Those layers are a dense layer per step, the measurements being
the steps; ``psd.convert`` has this package compute them, in place: parameters, their names, and an
optimizer that holds them stay.

Shown are the same outputs before and after, the time of an epoch of both, and how good the
model is on held-out tumours, beside an MLP without embeddings and a logistic regression. Scales,
bins and weights are from the training part of each fold alone; no setting was tuned.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rtdl_num_embeddings import PiecewiseLinearEmbeddings, compute_bins
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

import per_step_dense as psd

EPOCHS, BATCH = 30, 64
EMBEDDING, UNITS = 8, 64
MODELS = ["logistic regression", "MLP", "MLP on embeddings"]
COLORS = ["#E69F00", "#D55E00", "#0072B2"]


@dataclass(frozen=True)
class Fold:
    """Measurements (N, 30), scaled, and whether a tumour was malignant (N,): 1 or 0."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    scaler: StandardScaler


def make_folds(repeats: int) -> Iterator[Fold]:
    """Five folds, several times over, each with scales of its own."""
    data = load_breast_cancer()
    y = torch.from_numpy(1 - data.target).float()  # scikit-learn has 0 for malignant
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=repeats, random_state=0)
    for train, test in folds.split(data.data, data.target):
        scaler = StandardScaler().fit(data.data[train])
        x = torch.from_numpy(scaler.transform(data.data)).float()
        yield Fold(x[train], y[train], x[test], y[test], scaler)


def plain_mlp(inputs: int) -> nn.Sequential:
    """From (batch, inputs) to the log-odds, (batch, 1)."""
    return nn.Sequential(nn.Linear(inputs, UNITS), nn.ReLU(), nn.Dropout(0.1), nn.Linear(UNITS, 1))


def embedded_mlp(train_x: Tensor) -> nn.Sequential:
    """The same on embeddings: (batch, features) to (batch, features, EMBEDDING), then flat."""
    embeddings = PiecewiseLinearEmbeddings(
        compute_bins(train_x), EMBEDDING, activation=False, version="B"
    )
    return nn.Sequential(embeddings, nn.Flatten(), *plain_mlp(train_x.size(1) * EMBEDDING))


def train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, fold: Fold) -> None:
    """One pass over the training part, in random order."""
    model.train()
    for batch in torch.randperm(len(fold.train_y)).split(BATCH):
        optimizer.zero_grad()
        logits = model(fold.train_x[batch]).squeeze(-1)
        nn.functional.binary_cross_entropy_with_logits(logits, fold.train_y[batch]).backward()
        optimizer.step()


def train(model: nn.Module, fold: Fold) -> nn.Module:
    """A fixed number of epochs: nothing to stop early on, so nothing can leak."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    for _ in range(EPOCHS):
        train_epoch(model, optimizer, fold)
    return model.eval()


@torch.no_grad()
def log_odds(model: nn.Module, x: Tensor) -> Tensor:
    """That tumours are malignant, (N,)."""
    y: Tensor = model.eval()(x).squeeze(-1)
    return y


def show_conversion(fold: Fold) -> None:
    """Trains a model as the library has it, converts a copy, and prints what that changes."""
    torch.manual_seed(0)
    before = train(embedded_mlp(fold.train_x), fold)
    after = copy.deepcopy(before)
    (layer,) = psd.convert(after)  # which also prints it
    weight = after.get_parameter(f"{layer.name}.weight")
    plan = psd.explain(torch.empty(BATCH, *weight.shape[:2]), weight)
    print(f"computed by: {plan.kernel}")
    difference = log_odds(before, fold.test_x) - log_odds(after, fold.test_x)
    print(f"largest difference of held-out log-odds: {difference.abs().max():.1e}")
    print(f"same names in state_dict: {list(before.state_dict()) == list(after.state_dict())}")

    seconds: dict[nn.Module, list[float]] = {before: [], after: []}
    for _ in range(25):  # in turns; the fastest counts, which other processes held up least
        for model, measured in seconds.items():
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
            started = time.perf_counter()
            train_epoch(model, optimizer, fold)
            measured.append(time.perf_counter() - started)
    old, new = (1e3 * min(measured) for measured in seconds.values())
    print(
        f"an epoch takes {old:.1f} ms before, {new:.1f} ms after: {old / new:.2f} times as fast\n"
    )


def evaluate(fold: Fold, seed: int) -> tuple[list[list[float]], nn.Module]:
    """Of every model accuracy, AUC and log loss on the held-out part; and the one on embeddings."""
    torch.manual_seed(seed)
    logistic = LogisticRegression(max_iter=1000).fit(fold.train_x.numpy(), fold.train_y.numpy())
    embedded = embedded_mlp(fold.train_x)
    psd.convert(embedded, verbose=False)
    networks = [train(plain_mlp(fold.train_x.size(1)), fold), train(embedded, fold)]
    logits = [torch.from_numpy(logistic.decision_function(fold.test_x.numpy()))]
    logits += [log_odds(network, fold.test_x).double() for network in networks]
    truth = fold.test_y.numpy()
    scores = []
    for probability in (each.sigmoid().numpy() for each in logits):
        hits = accuracy_score(truth, probability > 0.5)
        auc, loss = roc_auc_score(truth, probability), log_loss(truth, probability)
        scores.append([float(hits), float(auc), float(loss)])
    return scores, embedded


def report(scores: Tensor) -> None:
    """Prints means and spreads of scores (folds, models, 3)."""
    print(f"{'held out':20}{'accuracy':18}{'AUC':18}log loss")
    for name, of_model in zip(MODELS, scores.unbind(1), strict=True):
        means, deviations = of_model.mean(0).tolist(), of_model.std(0).tolist()
        cells = [f"{m:.3f} +- {d:.3f}" for m, d in zip(means, deviations, strict=True)]
        print(f"{name:20}{cells[0]:18}{cells[1]:18}{cells[2]}")
    print(f"(mean and standard deviation of {len(scores)} folds)")


def effect(model: nn.Module, x: Tensor, feature: int) -> tuple[Tensor, Tensor]:
    """Values of a feature, and the mean log-odds if all had that one, the rest as it is."""
    low, high = x[:, feature].quantile(torch.tensor([0.05, 0.95])).tolist()
    values = torch.linspace(low, high, 25)
    changed = x.repeat(len(values), 1, 1)  # (values, N, features)
    changed[..., feature] = values[:, None]
    return values, log_odds(model, changed.flatten(0, 1)).reshape(len(values), -1).mean(1)


def strongest(model: nn.Module, x: Tensor, count: int) -> list[int]:
    """The features whose effect has the widest range."""
    ranges = [effect(model, x, feature)[1] for feature in range(x.size(1))]
    return torch.stack([r.max() - r.min() for r in ranges]).topk(count).indices.tolist()


def draw(folds: list[Fold], models: list[nn.Module], scores: Tensor, output: Path) -> None:
    """The effects of four measurements, by every fold's model, and all scores."""
    figure = Figure(figsize=(13, 6.5), layout="constrained")
    figure.suptitle(
        "Breast cancer: what the embeddings learned of four measurements, and held-out scores",
        fontweight="bold",
    )
    grid = figure.subplots(2, 3)
    names = load_breast_cancer().feature_names
    chosen = strongest(models[0], folds[0].test_x, 4)
    for axes, feature in zip(grid[:, :2].flatten(), chosen, strict=True):
        for fold, model in zip(folds, models, strict=True):
            values, means = effect(model, fold.test_x, feature)
            measured = values * fold.scaler.scale_[feature] + fold.scaler.mean_[feature]
            effects = means - means.mean()
            axes.plot(measured, effects, color=COLORS[2], alpha=0.5, linewidth=1)
        axes.set(xlabel=names[feature], ylabel="effect on log-odds\nof malignant")
        axes.locator_params("x", nbins=5)
    grid[0, 0].set_title(f"a line for each of {len(folds)} folds", fontsize=11)
    for axes, score, name in ((grid[0, 2], 0, "accuracy"), (grid[1, 2], 2, "log loss")):
        for i, color in enumerate(COLORS):
            spread = torch.linspace(-0.2, 0.2, len(scores)) + i
            axes.plot(spread, scores[:, i, score], "o", color=color, markersize=5)
            axes.hlines(scores[:, i, score].mean(), i - 0.3, i + 0.3, color="black")
        axes.set_xticks(range(len(MODELS)), [name.replace(" ", "\n", 1) for name in MODELS])
        axes.set_ylabel(f"held-out {name}")
    grid[0, 2].set_title("a dot for each fold; line: mean", fontsize=11)
    grid[0, 2].yaxis.set_major_formatter("{x:.0%}")
    for axes in grid.flatten():
        axes.grid(color="#dddddd")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(output, dpi=120)


def main() -> None:
    """Prints what conversion changes and how good the models are, and draws the picture."""
    parser = argparse.ArgumentParser(description="Converts and evaluates a tabular model.")
    parser.add_argument("--quick", action="store_true", help="each fold once")
    parser.add_argument("--output", type=Path, default=Path("tabular_embeddings.png"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the matrices are too small for a second thread

    started = time.perf_counter()
    folds = list(make_folds(repeats=1 if arguments.quick else 4))
    show_conversion(folds[0])
    results = [evaluate(fold, seed) for seed, fold in enumerate(folds)]
    scores = torch.tensor([of_fold for of_fold, _ in results])  # (folds, models, 3)
    report(scores)
    draw(folds, [model for _, model in results], scores, arguments.output)
    print(f"picture: {arguments.output}; {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
