"""Do the example scripts run as they stand, and do they reach what they promise?"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import per_step_dense

pytestmark = [pytest.mark.slow, pytest.mark.in_turn]  # each test trains models

EXAMPLES = Path(__file__).parent.parent / "examples"


def run_example(name: str, folder: Path, *arguments: str, is_quiet: bool = True) -> str:
    """Runs the script as a user does, in another folder, with the package under test."""
    package = Path(per_step_dense.__file__).parent.parent
    path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    finished = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert not is_quiet or finished.stderr == ""
    return finished.stdout


def needs(*packages: str) -> None:
    """Skips the test where one of the extra's packages is missing."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs pip install '.[examples]' (missing: {', '.join(missing)})")


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module; its ``main`` does not run."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module(name)


def assert_shows(picture: Path, *colors: str) -> None:
    """The picture is one of that size, and has something in each of the colors."""
    from matplotlib.colors import to_rgb
    from matplotlib.image import imread

    pixels = torch.tensor(imread(picture))[..., :3]
    assert pixels.size(0) >= 500 and pixels.size(1) >= 1000
    for color in colors:
        near = (pixels - torch.tensor(to_rgb(color))).abs().amax(-1) < 0.02
        assert near.sum() > 100, color


def test_question_trains_400_parameters_to_the_noise_floor(tmp_path: Path) -> None:
    printed = run_example("question.py", tmp_path)
    assert "PerStepDense(steps=10, in_features=4, out_features=8, bias=True)\n" in printed
    assert "parameters: 400\n" in printed
    losses = [float(loss) for loss in re.findall(r"^epoch +\d+: loss (\d\.\d+)$", printed, re.M)]
    floor = re.search(r"^noise floor: +(\d\.\d+)", printed, re.M)
    assert floor is not None and float(floor[1]) == 0.01
    assert len(losses) >= 4
    assert losses[0] > 0.05, "the first loss already lies at the floor: nothing was learned"
    # 2048 * 80 squares estimate the variance to sqrt(2 / 163840) = 0.35 %; the fit of 400
    # parameters takes off 0.25 %, and Adam's last steps add some.
    assert losses[-1] == pytest.approx(0.01, rel=0.05)
    assert list(tmp_path.iterdir()) == []


def test_lightning_learns_a_layer_for_each_hour(tmp_path: Path) -> None:
    if importlib.util.find_spec("lightning") is None:
        pytest.skip("needs pip install '.[interop]'")
    printed = run_example("lightning_module.py", tmp_path, is_quiet=False)  # Lightning has its say
    own, shared = (float(error) for error in re.findall(r"(\d+\.\d+)$", printed, re.M))
    assert own < 0.05
    assert shared > 1  # the variance of what the hours do not have in common


def test_tabular_model_is_the_same_after_conversion(tmp_path: Path) -> None:
    needs("matplotlib", "rtdl_num_embeddings", "sklearn")
    printed = run_example("tabular_embeddings.py", tmp_path, "--quick")
    assert "converted 1 module of Sequential\n  0.linear: rtdl_num_embeddings._NLinear" in printed
    difference = re.search(r"^largest difference of held-out log-odds: (\S+)$", printed, re.M)
    # Of sums of 48 and 240 products; log-odds are some units in size.
    assert difference is not None and float(difference[1]) < 1e-4
    assert "same names in state_dict: True\n" in printed

    times = re.search(r"takes (\S+) ms before, (\S+) ms after: (\S+) times as fast", printed)
    assert times is not None
    before, after, ratio = map(float, times.groups())
    assert ratio == pytest.approx(before / after, rel=0.1)

    score = r"(\d\.\d{3}) \+- \d\.\d{3}"
    rows = re.findall(rf"^(\w.*?) +{score} +{score} +{score}$", printed, re.M)
    assert [name for name, *_ in rows] == ["logistic regression", "MLP", "MLP on embeddings"]
    for name, accuracy, auc, loss in rows:
        assert 0.95 < float(accuracy) < 1, name  # guessing: 0.63
        assert 0.98 < float(auc) < 1, name  # guessing: 0.5
        assert 0.02 < float(loss) < 0.15, name  # guessing: 0.66
    assert "(mean and standard deviation of 5 folds)\n" in printed
    assert_shows(tmp_path / "tabular_embeddings.png", "#E69F00", "#D55E00", "#0072B2", "black")
    assert [path.name for path in tmp_path.iterdir()] == ["tabular_embeddings.png"]


def test_forecast_by_month_is_better_while_there_are_seasons(tmp_path: Path) -> None:
    needs("matplotlib", "statsmodels")
    printed = run_example("forecast_seasonal.py", tmp_path, "--quick")
    row = re.compile(
        r"^(\w.*?) +(\d\.\d{3})(?: \+- (\d\.\d{3}))?(?: +in (\d+) of 10 years)?$", re.M
    )
    tables = [row.findall(table) for table in printed.split("\n\n")[:3]]
    own = "PerStepDense, 3 months"
    naive = ["as a year ago", "as a year ago, and drift"]
    short, long = (f"one shared layer, {months} months" for months in (3, 13))
    for table in tables:
        errors = {name: float(error) for name, error, _, _ in table}
        assert list(errors) == [*naive, short, long, own]
        assert all(errors[own] < 0.9 * errors[name] for name in naive)
        assert all(float(spread) < 0.02 for *_, spread, _ in table if spread)
        years = {name: int(count or 0) for name, *_, count in table}
        if table is tables[2]:  # without its seasons
            assert errors[own] == pytest.approx(errors[short], rel=0.05)
            assert years[short] in range(2, 9)
        else:
            assert errors[own] < 0.7 * errors[short]
            assert errors[own] < errors[long]
            assert years[short] == 10
    assert "CO2 at Mauna Loa, 1992 to 2001," in printed
    assert "Sea off Peru, 2001 to 2010," in printed
    assert "Sea off Peru without its seasons, 2001 to 2010," in printed
    assert_shows(tmp_path / "forecast_seasonal.png", "#D55E00", "#E69F00", "#0072B2", "black")


def test_forecasts_are_of_what_is_known_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("matplotlib", "statsmodels")
    example = load("forecast_seasonal", monkeypatch)
    co2, sea, _ = example.load_series()
    assert co2.values.shape == (43, 12) and sea.values.shape == (61, 12)
    assert sea.values[0, 0] == pytest.approx(23.11) and sea.values[-1, -1] == pytest.approx(22.07)
    flat = sea.values.flatten()
    known = example.months_before(sea.values, 3)
    assert torch.equal(known[0, 0], flat[21:24]) and torch.equal(known[-1, -1], flat[-4:-1])
    naive = example.naive_forecasts(sea.values)
    year_ago, drift = sea.values[-11:-1], flat[-121:-1] - flat[-133:-13]
    assert torch.equal(naive["as a year ago"], year_ago)
    torch.testing.assert_close(naive["as a year ago, and drift"], year_ago + drift.view(10, 12))

    # From the third of the years that are held out on, all is another: no forecast before changes.
    other = sea.values.clone()
    other[-8:] = other[-8:].flip(0) + 5
    for contender in example.CONTENDERS:
        forecasts = example.forecast(contender, sea.values, 0, 40).flatten()
        others = example.forecast(contender, other, 0, 40).flatten()
        assert torch.equal(forecasts[:25], others[:25]), contender.name
        assert (forecasts[25:] - others[25:]).abs().max() > 1, contender.name


def test_ensemble_covers_what_it_promises_once_calibrated(tmp_path: Path) -> None:
    needs("matplotlib", "scipy", "sklearn")
    printed = run_example("ensemble_regression.py", tmp_path, "--quick")
    cells = r"^ *(\d+)% +(\S+)% +(\S+)%  \((\S+)% \+- (\S+)%\) +(\d+) +(\d+) +(\d+)$"
    rows = [tuple(map(float, row)) for row in re.findall(cells, printed, re.M)]
    assert [row[0] for row in rows] == [50, 60, 70, 80, 90, 95]
    calibrated_on = tested = 89
    for level, before, after, right, deviation, *widths in rows:
        # Beta-binomial for one split: k of 90 new scores lie below the k-th of 89, in the mean.
        rank = math.ceil(round(level * (calibrated_on + 1) / 100, 6))
        p = rank / (calibrated_on + 1)
        of_one = p * (1 - p) * (1 + calibrated_on + tested) / (2 + calibrated_on) / tested
        assert right == pytest.approx(100 * p, abs=0.06)
        assert deviation == pytest.approx(100 * math.sqrt(of_one / 20), abs=0.06)
        assert abs(after - 100 * p) < 4 * 100 * math.sqrt(of_one / 20), level
        assert before < level - 2, "the ensemble was calibrated from the start: nothing is shown"
        assert widths[0] < widths[1] < 1.3 * widths[2]
    ensemble, linear = map(float, re.findall(r"^error \(RMSE\) of .*: (\S+) \+- ", printed, re.M))
    assert ensemble < 1.05 * linear < 60  # the targets' own deviation is 77
    assert_shows(tmp_path / "ensemble_regression.png", "#8fc1e3", "#D55E00", "#0072B2", "#bbbbbb")
