"""A month-ahead forecast: a dense layer for each month of the year against one that all share.

    pip install 'per_step_dense[examples]'
    python examples/forecast_seasonal.py

Two monthly series that come with statsmodels, nothing is downloaded: the CO2 in the air at Mauna
Loa and the temperature of the sea off Peru (El Nino). From the months before, relative to the last
of them, every model predicts the change to the next month. PerStepDense has weights of its own for
each calendar month, so a few months tell it what comes next. A shared layer cannot know which month
it is, unless it sees a whole year and reads that off: a rival as well. The temperature is there a
second time, less the mean of each calendar month: what is left to a layer per month then?

Every forecast is for one month ahead, from measured values. Years go in order: weights are fitted
on the first, the number of iterations is chosen on six years, and errors are those of the last ten,
which had no say in anything, scales and the number of months in the input included.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import statsmodels.datasets
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import per_step_dense as psd

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
VALIDATION_YEARS, TEST_YEARS, SHOWN_YEARS = 6, 10, 3


@dataclass(frozen=True)
class Series:
    """Values by year and month, (years, 12)."""

    name: str
    unit: str
    first_year: int
    values: Tensor


@dataclass(frozen=True)
class Contender:
    """A model of the change to the next month, and how the picture shows it."""

    name: str
    months: int  # of input: one of them is what the others are relative to
    layer: Callable[[], nn.Module]  # (years, 12, months - 1) -> (years, 12, 1)
    style: dict[str, str]


CONTENDERS = [
    Contender(
        "one shared layer, 3 months",
        months=3,
        layer=lambda: nn.Linear(2, 1),
        style={"color": "#D55E00", "marker": "s", "linestyle": ":"},
    ),
    Contender(
        "one shared layer, 13 months",
        months=13,
        layer=lambda: nn.Linear(12, 1),
        style={"color": "#E69F00", "marker": "^", "linestyle": "--"},
    ),
    Contender(
        "PerStepDense, 3 months",
        months=3,
        layer=lambda: psd.PerStepDense(12, 2, 1),
        style={"color": "#0072B2", "marker": "o", "linestyle": "-"},
    ),
]


def load_series() -> list[Series]:
    """Whole years of all series."""
    weekly = statsmodels.datasets.co2.load().data["co2"]
    # Months without a value, none later than 1964, take one between their neighbours'.
    co2 = weekly.resample("MS").mean()["1959":"2001"].interpolate()
    sea = by_year(statsmodels.datasets.elnino.load().data.drop(columns="YEAR"))
    mean = sea[: -VALIDATION_YEARS - TEST_YEARS].mean(0)  # of each month, over the years to fit
    return [
        Series("CO2 at Mauna Loa", "ppm", 1959, by_year(co2)),
        Series("Sea off Peru", "degrees C", 1950, sea),
        Series("Sea off Peru without its seasons", "degrees C", 1950, sea - mean),
    ]


def by_year(values: Any) -> Tensor:
    """(years, 12), of what pandas gave."""
    return torch.tensor(values.to_numpy(), dtype=torch.float32).reshape(-1, 12)


def months_before(values: Tensor, count: int) -> Tensor:
    """What is known before each month from the third year on: (years - 2, 12, count), in order."""
    windows = values.flatten().unfold(0, count, 1)  # (months - count + 1, count)
    return windows[24 - count : -1].reshape(-1, 12, count)


def forecast(contender: Contender, values: Tensor, seed: int, iterations: int) -> Tensor:
    """Trains on the first years; returns forecasts of the last ones, (TEST_YEARS, 12)."""
    torch.manual_seed(seed)
    known = months_before(values, contender.months)
    last = known[..., -1:]
    x, y = known[..., :-1] - last, values[2:, :, None] - last
    fit = slice(0, -VALIDATION_YEARS - TEST_YEARS)
    validation, test = slice(fit.stop, -TEST_YEARS), slice(-TEST_YEARS, None)
    x, scale = x / x[fit].std(), y[fit].std()
    y = y / scale

    model = contender.layer()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    best_error, best = math.inf, torch.full_like(y[test], math.nan)
    for _ in range(iterations):
        optimizer.zero_grad()
        prediction = model(x)  # of all years, the loss is of the first ones
        nn.functional.mse_loss(prediction[fit], y[fit]).backward()
        error = nn.functional.mse_loss(prediction[validation], y[validation]).item()
        if error < best_error:
            best_error, best = error, prediction[test].detach()
        optimizer.step()
    return (last[test] + scale * best).squeeze(-1)


def naive_forecasts(values: Tensor) -> dict[str, Tensor]:
    """What needs no training: by name, forecasts of the last years."""
    known = months_before(values, 13)[-TEST_YEARS:]
    year_ago, drift = known[..., 1], known[..., -1] - known[..., 0]
    return {"as a year ago": year_ago, "as a year ago, and drift": year_ago + drift}


def rmse(forecasts: Tensor, truth: Tensor, *dims: int) -> Tensor:
    """The root of the mean squared error."""
    return (forecasts - truth).square().mean(dims).sqrt()


def compare(series: Series, seeds: int, iterations: int) -> dict[str, Tensor]:
    """Prints a series' table; by name, all forecasts: (seeds, TEST_YEARS, 12)."""
    truth = series.values[-TEST_YEARS:]
    forecasts = {name: naive[None] for name, naive in naive_forecasts(series.values).items()}
    for contender in CONTENDERS:
        forecasts[contender.name] = torch.stack(
            [forecast(contender, series.values, seed, iterations) for seed in range(seeds)]
        )

    end, own = series.first_year + len(series.values), CONTENDERS[-1].name
    print(f"{series.name}, {end - TEST_YEARS} to {end - 1}, one month ahead")
    print(f"{'':28}{f'RMSE, {series.unit}':18}larger than the last row's")
    own_by_year = rmse(forecasts[own], truth, 2).mean(0)
    for name, runs in forecasts.items():
        errors = rmse(runs, truth, 1, 2)
        spread = f" +- {errors.std():.3f}" if len(errors) > 1 else ""
        larger = int((rmse(runs, truth, 2).mean(0) > own_by_year).sum())
        years = "" if name == own else f"in {larger} of {TEST_YEARS} years"
        print(f"{name:28}{f'{errors.mean():.3f}{spread}':18}{years}".rstrip())
    print()
    return forecasts


def draw(results: list[tuple[Series, dict[str, Tensor]]], output: Path) -> None:
    """A row for each series: the forecasts of its last years, and the error by month."""
    figure = Figure(figsize=(12, 11), layout="constrained")
    figure.suptitle(
        "One month ahead: a layer for each month against one that all share", fontweight="bold"
    )
    rows = figure.subplots(len(results), 2, width_ratios=(1.7, 1))
    for (lines, months), (series, forecasts) in zip(rows, results, strict=True):
        truth = series.values[-TEST_YEARS:]
        first = series.first_year + len(series.values) - SHOWN_YEARS
        years = [first + month / 12 for month in range(12 * SHOWN_YEARS)]
        measured = lines.plot(
            years, truth[-SHOWN_YEARS:].flatten(), "o", color="black", zorder=3, label="measured"
        )
        for contender in CONTENDERS:
            runs, style = forecasts[contender.name], contender.style
            lines.plot(years, runs.mean(0)[-SHOWN_YEARS:].flatten(), **style | {"marker": ""})
            months.plot(MONTHS, rmse(runs, truth, 0, 1), **style, label=contender.name)
        lines.set_title(f"{series.name}: the last {SHOWN_YEARS} of {TEST_YEARS} years held out")
        lines.set(xlabel="year", ylabel=series.unit)
        lines.set_xticks(range(first, first + SHOWN_YEARS + 1))
        months.set_title(f"Error by month, {TEST_YEARS} years held out")
        months.set(xlabel="month", ylabel=f"RMSE, {series.unit}", ylim=(0, None))
        for axes in (lines, months):
            axes.grid(color="#dddddd")
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
    handles = [*measured, *months.lines]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(output, dpi=120)


def main() -> None:
    """Prints a table for each series and draws the picture."""
    parser = argparse.ArgumentParser(description="Forecasts monthly series.")
    parser.add_argument("--quick", action="store_true", help="fewer seeds")
    parser.add_argument("--output", type=Path, default=Path("forecast_seasonal.png"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the matrices are too small for a second thread

    started = time.perf_counter()
    seeds = 2 if arguments.quick else 5
    results = [(series, compare(series, seeds, iterations=1500)) for series in load_series()]
    print(f"(+-: standard deviation over {seeds} seeds, which differ in the initial weights)")
    draw(results, arguments.output)
    print(f"picture: {arguments.output}; {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
