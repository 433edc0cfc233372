"""An ensemble that says how sure it is, trained at once, and intervals that keep their promise.

    pip install 'per_step_dense[examples]'
    python examples/ensemble_regression.py

Data: scikit-learn's diabetes (bundled, nothing is downloaded): 442 patients, 10 measurements, and
how far the disease went in a year. Ten networks, members of an ensemble, are the ten steps of two
PerStepDense: one model, one optimizer, each member with weights and a bootstrap sample of its own.
Each predicts a mean and a variance, fitted by the likelihood, and the ensemble is their mixture
(Lakshminarayanan et al. 2017, "Simple and Scalable Predictive Uncertainty Estimation using Deep
Ensembles").

Its intervals say "80 %" and hold what they like. Split conformal prediction stretches all of them
by one factor, taken from patients that the ensemble has not seen, so that new patients lie inside
as often as promised, whatever the model (Lei et al. 2018, "Distribution-Free Predictive Inference
for Regression"; for quantiles, Romano et al. 2019, "Conformalized Quantile Regression"). Coverage
is counted on patients that neither has seen, over many random splits.

The table's last column is the width of a linear regression's intervals, calibrated alike.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from scipy.stats import betabinom, norm
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

import per_step_dense as psd

MEMBERS, UNITS = 10, 32
ITERATIONS = 50  # more fit the noise: errors grow, and so do calibrated intervals
CALIBRATED_ON = TESTED = 89  # patients; the other 264 are trained on
LEVELS = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
SHOWN = 3  # the picture's intervals are of this level


class Ensemble(nn.Module):
    """From x (batch, features) to every member's mean and variance of y, (batch, members) each."""

    center: Tensor
    scale: Tensor

    def __init__(self, x: Tensor, y: Tensor) -> None:
        super().__init__()
        self.hidden = psd.PerStepDense(MEMBERS, x.size(1), UNITS, activation="tanh")
        self.head = psd.PerStepDense(MEMBERS, UNITS, 2)
        self.register_buffer("center", y.mean())
        self.register_buffer("scale", y.std())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        every_member = x[:, None, :].expand(-1, MEMBERS, -1)  # a view: the rows are not copied
        mean, variance = self.head(self.hidden(every_member)).unbind(-1)
        variance = nn.functional.softplus(variance) + 1e-3
        return self.center + self.scale * mean, self.scale.square() * variance

    @torch.no_grad()
    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the mixture of all members, (batch,) each."""
        mean, variance = self(x)
        return mean.mean(1), (variance.mean(1) + mean.var(1, correction=0)).sqrt()


@dataclass(frozen=True)
class Outcome:
    """What came of a split, on its test part."""

    coverage: Tensor  # (2, levels): before and after calibration
    width: Tensor  # (3, levels): before, after, and of the linear regression
    rmse: Tensor  # (2,): of the ensemble and of the linear regression
    truth: Tensor  # (TESTED,)
    mean: Tensor  # (TESTED,)
    half: Tensor  # (2, TESTED): half of the intervals shown, before and after


def split(seed: int) -> list[tuple[Tensor, Tensor]]:
    """Features and targets to train on, to calibrate and to test. Scales are those of the first."""
    x, y = load_diabetes(return_X_y=True)
    training, rest = train_test_split(
        range(len(y)), test_size=CALIBRATED_ON + TESTED, random_state=seed
    )
    calibration, test = train_test_split(rest, test_size=TESTED, random_state=seed)
    features = torch.from_numpy(StandardScaler().fit(x[training]).transform(x)).float()
    target = torch.from_numpy(y).float()
    return [(features[rows], target[rows]) for rows in (training, calibration, test)]


def train(x: Tensor, y: Tensor) -> Ensemble:
    """All members at once: the sum of their losses gives each its own gradient."""
    model = Ensemble(x, y)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    drawn = torch.randint(len(y), (len(y), MEMBERS))  # by every member, with replacement
    times_drawn = torch.zeros(drawn.shape).scatter_add_(0, drawn, torch.ones(drawn.shape))
    target = y[:, None].expand(-1, MEMBERS)
    for _ in range(ITERATIONS):
        optimizer.zero_grad()
        mean, variance = model(x)
        losses = nn.functional.gaussian_nll_loss(mean, target, variance, reduction="none")
        (times_drawn * losses).mean(0).sum().backward()
        optimizer.step()
    return model


def rank(level: float) -> int:
    """Which score, counted from the smallest, bounds a new one with at least this probability.

    A new score falls between any two neighbours alike, so the k-th of n bounds it in k of n + 1.
    """
    return math.ceil(round((CALIBRATED_ON + 1) * level, 6))  # rounded: 0.7 * 90 is 62.99999


def bounds_of(scores: Tensor) -> Tensor:
    """By level, the bound of new scores: split conformal prediction."""
    return scores.sort().values[[rank(level) - 1 for level in LEVELS]]


def evaluate(seed: int) -> Outcome:
    """Trains, calibrates and tests on one split."""
    torch.manual_seed(seed)
    training, (calibration_x, calibration_y), (test_x, test_y) = split(seed)
    model = train(*training)
    mean, deviation = model.predict(calibration_x)
    calibrated = bounds_of((calibration_y - mean).abs() / deviation)
    claimed = torch.tensor([norm.interval(level)[1] for level in LEVELS])
    factors = torch.stack([claimed, calibrated])  # half an interval, in standard deviations
    mean, deviation = model.predict(test_x)
    errors = test_y - mean

    linear = LinearRegression().fit(*training)
    linear_errors = test_y - torch.from_numpy(linear.predict(test_x))
    linear_half = bounds_of((calibration_y - torch.from_numpy(linear.predict(calibration_x))).abs())
    return Outcome(
        coverage=(errors.abs() <= factors[..., None] * deviation).float().mean(-1),
        width=2 * torch.stack([*(factors * deviation.mean()), linear_half]),
        rmse=torch.stack([errors, linear_errors]).square().mean(1).sqrt(),
        truth=test_y,
        mean=mean,
        half=factors[:, SHOWN, None] * deviation,
    )


def chance(splits: int) -> list[tuple[float, float]]:
    """By level, mean and standard deviation of a mean coverage, if calibration does what it says.

    Whatever the model and the data, coverage of a random split is beta-binomial.
    """
    covered = [betabinom(TESTED, rank(p), CALIBRATED_ON + 1 - rank(p)) for p in LEVELS]
    return [(c.mean() / TESTED, c.std() / TESTED / math.sqrt(splits)) for c in covered]


def report(outcomes: list[Outcome]) -> None:
    """Prints coverage and width by level, means over all splits."""
    coverage = torch.stack([outcome.coverage for outcome in outcomes]).mean(0)
    width = torch.stack([outcome.width for outcome in outcomes]).mean(0)
    rmse = torch.stack([outcome.rmse for outcome in outcomes])
    print("       covered, of test patients                 mean width")
    print("level  before   after  (after, if right)   before   after  linear")
    for i, (expected, deviation) in enumerate(chance(len(outcomes))):
        before, after = coverage[:, i]
        right = f"({expected:.1%} +- {deviation:.1%})"
        widths = "".join(f"{w:8.0f}" for w in width[:, i])
        print(f"{LEVELS[i]:5.0%}{before:8.1%}{after:8.1%}  {right:18}{widths}")
    for name, errors in zip(("ensemble", "linear regression"), rmse.T, strict=True):
        print(f"error (RMSE) of the {name}: {errors.mean():.1f} +- {errors.std():.1f}")
    print(f"(means over {len(outcomes)} random splits; +-: standard deviation)")


def draw(outcomes: list[Outcome], output: Path) -> None:
    """Promised against counted coverage, and the first split's intervals."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    figure.suptitle("Ten networks in one model, before and after calibration", fontweight="bold")
    reliability, intervals = figure.subplots(1, 2, width_ratios=(1, 1.6))
    before, after = torch.stack([outcome.coverage for outcome in outcomes]).mean(0).tolist()
    right, deviation = torch.tensor(chance(len(outcomes))).T
    band = (right - 2 * deviation).tolist(), (right + 2 * deviation).tolist()
    reliability.fill_between(LEVELS, *band, color="#bbbbbb", label="right, up to chance")
    reliability.plot(LEVELS, before, "s--", color="#D55E00", label="before calibration")
    reliability.plot(LEVELS, after, "o-", color="#0072B2", label="after calibration")
    reliability.set_title(f"Means of {len(outcomes)} splits", fontsize=11)
    reliability.set(xlabel="promised coverage", ylabel="covered, of test patients")
    for axis in (reliability.xaxis, reliability.yaxis):
        axis.set_major_formatter("{x:.0%}")
    reliability.legend(frameon=False)

    first = outcomes[0]
    order = first.mean.argsort()
    patient, mean, half = range(len(order)), first.mean[order], first.half[:, order]
    for i, color, width, name in ((1, "#8fc1e3", 5, "after"), (0, "#D55E00", 1.5, "before")):
        low, high = (mean - half[i]).tolist(), (mean + half[i]).tolist()
        intervals.vlines(patient, low, high, color=color, lw=width, label=f"{name} calibration")
    intervals.plot(patient, first.truth[order], "o", color="black", markersize=4, label="measured")
    intervals.set_title(f"{LEVELS[SHOWN]:.0%} intervals of one split", fontsize=11)
    intervals.set(xlabel="test patients, by predicted mean", ylabel="disease progression, score")
    intervals.legend(frameon=False, loc="upper left")
    for axes in (reliability, intervals):
        axes.grid(color="#dddddd")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(output, dpi=120)


def main() -> None:
    """Prints the table and draws the picture."""
    parser = argparse.ArgumentParser(description="Trains and calibrates ensembles.")
    parser.add_argument("--quick", action="store_true", help="fewer splits")
    parser.add_argument("--output", type=Path, default=Path("ensemble_regression.png"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the matrices are too small for a second thread

    started = time.perf_counter()
    outcomes = [evaluate(seed) for seed in range(20 if arguments.quick else 100)]
    report(outcomes)
    draw(outcomes, arguments.output)
    print(f"picture: {arguments.output}; {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
