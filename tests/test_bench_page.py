"""Are docs/benchmarks.md, its pictures and the README made of bench/results, and of that alone?"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from bench_records import OURS, cpu_record, cuda_record, failed, measured, row, row_of

from bench.cases import CPU_CASES, GPU_CASES
from bench.generated import END, begin_marker, replace_between
from bench.record import Outcome, Pass, write
from bench.report import page
from bench.rivals import RAGGED_RIVALS, RIVALS, WINDOW_RIVALS

pytestmark = pytest.mark.slow  # pages and pictures

README = f"before\n{page.BEGIN}\n{END}\nafter\n"


def make_site(root: Path) -> page.Site:
    site = page.Site(root)
    site.results.mkdir(parents=True)
    site.page.parent.mkdir()
    site.readme.write_text(README)
    return site


@pytest.fixture
def site(tmp_path: Path) -> page.Site:
    """A checkout without results."""
    return make_site(tmp_path)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> page.Site:
    """One with a CPU's and a GPU's record, and all that is made of them."""
    site = make_site(tmp_path_factory.mktemp("written"))
    write(cpu_record(), site.results / "cpu.json")
    write(cuda_record(), site.results / "gpu.json")
    assert page.main([], site.root) == 0
    return site


@pytest.fixture
def full(written: page.Site, tmp_path: Path) -> page.Site:
    """A copy of it, to be changed."""
    shutil.copytree(written.root, tmp_path, dirs_exist_ok=True)
    return page.Site(tmp_path)


def check(site: page.Site) -> int:
    return page.main(["--check"], site.root)


def rows_of(text: str, first_cell: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith(f"| {first_cell} |")
    ]


def section(text: str, title: str) -> str:
    """From its heading to the next one of the same level."""
    level = title.split()[0]
    return re.split(rf"^{level} ", text.split(f"{title}\n")[1], flags=re.MULTILINE)[0]


# This repository


def test_this_repository_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert page.main(["--check"]) == 0, capsys.readouterr().err


# Without results


def test_without_results_nothing_is_claimed(
    site: page.Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(site) == 1
    assert "benchmarks.md is out of date: python -m bench page" in capsys.readouterr().err
    assert page.main([], site.root) == 0
    assert check(site) == 0
    text = site.page.read_text()
    assert "Not measured: there is no record in bench/results." in text
    for case in GPU_CASES:
        assert rows_of(text, case.name)[0][-2:] == ["not measured", "not measured"]
    readme = site.readme.read_text()
    assert readme.startswith(f"before\n{page.BEGIN}\n") and readme.endswith(f"\n{END}\nafter\n")
    assert "Speed on a CPU: not measured." in readme
    assert "Speed on a GPU: not measured, so none is claimed." in readme


def test_without_a_folder_of_results_it_is_the_same(site: page.Site) -> None:
    site.results.rmdir()
    assert page.main([], site.root) == 0
    assert check(site) == 0


# With results


def test_check_is_green_after_writing_and_writes_nothing(full: page.Site) -> None:
    def state() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in full.root.rglob("*") if path.is_file()}

    before = state()
    assert check(full) == 0
    assert state() == before
    assert page.main([], full.root) == 0
    assert state() == before


def test_check_is_red_when_a_figure_of_a_record_changes(
    full: page.Site, capsys: pytest.CaptureFixture[str]
) -> None:
    path = full.results / "cpu.json"
    record = json.loads(path.read_text())
    record["rows"][0]["results"][0]["measurements"][0]["timing"]["median_us"] = 11.0
    path.write_text(json.dumps(record))
    assert check(full) == 1
    error = capsys.readouterr().err
    assert f"{full.page} is out of date: python -m bench page" in error
    assert f"{full.readme} is out of date" in error
    assert f"{full.pictures / 'cpu-floor.png'} shows another record than {path}" in error
    assert "gpu-floor.png" not in error
    assert page.main([], full.root) == 0
    assert check(full) == 0


def test_check_is_red_when_only_a_picture_is_stale(
    full: page.Site, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(full.pictures / "gpu-floor.png", full.pictures / "cpu-floor.png")
    assert check(full) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "cpu-floor.png shows another record" in line


def test_check_is_red_when_a_picture_is_missing_or_left_over(
    full: page.Site, capsys: pytest.CaptureFixture[str]
) -> None:
    (full.pictures / "cpu-speedup.png").rename(full.pictures / "old-speedup.png")
    assert check(full) == 1
    missing, left_over = capsys.readouterr().err.splitlines()
    assert "cpu-speedup.png is missing" in missing
    assert "old-speedup.png shows a record that is gone" in left_over
    assert page.main([], full.root) == 0
    assert check(full) == 0
    assert not (full.pictures / "old-speedup.png").exists()


@pytest.mark.parametrize("name", ["page", "readme"])
def test_check_is_red_when_a_file_is_edited_by_hand(name: str, full: page.Site) -> None:
    path: Path = getattr(full, name)
    path.write_text(path.read_text().replace("1.20", "2.20"))
    assert check(full) == 1


def test_a_bad_record_is_status_2(site: page.Site, capsys: pytest.CaptureFixture[str]) -> None:
    (site.results / "bad.json").write_text("junk")
    assert check(site) == page.main([], site.root) == 2
    assert "bad.json is not a record of schema 1" in capsys.readouterr().err
    assert not site.page.exists() and site.readme.read_text() == README


def test_the_page_has_a_section_for_every_record(full: page.Site) -> None:
    text = full.page.read_text()
    assert text.index("## cpu: Abacus 9000") < text.index("## gpu: NVIDIA Abacus")
    cpu = section(text, "## cpu: Abacus 9000, 2026-03-04")
    for line in (
        "- CPU: Abacus 9000, 2 threads",
        "- torch: 2.11.0, Python 3.11.2",
        "- per_step_dense: 0.1.0, commit 0123456789ab",
        "- date: 2026-03-04T05:06:07+00:00",
        "- copies: 40.0 GB/s (1 MiB), 20.0 GB/s (16 MiB), 10.0 GB/s (512 MiB)",
        "- products, TFLOP/s: float32 0.100",
    ):
        assert line in cpu.splitlines()
    assert rows_of(section(cpu, "#### forward, bias"), "seed")[0][-5:] == [
        "launch",
        "baddbmm",
        "12.0 +- 0.6",
        "1.20",
        "0.80",
    ]
    assert "- grouped_mm, unsupported: strides must be multiples of 16 bytes" in cpu
    assert rows_of(section(cpu, "### Training"), "a small model")[1][1] == "loop of nn.Linear"
    assert rows_of(section(cpu, "### Memory"), "seed")[0][:3] == ["seed", "1.00", "2.00"]
    assert rows_of(section(cpu, "### A call's overhead"), "forward")[0][-1] == "0.75"
    gpu = section(text, "## gpu: NVIDIA Abacus, 2026-03-04")
    assert "- CUDA: 13.0, driver 999.1" in gpu
    assert section(gpu, "### Training").strip() == "Not measured."


def test_the_page_shows_pictures_that_are_there(full: page.Site) -> None:
    shown = re.findall(r"!\[.+\]\((.+)\)", full.page.read_text())
    assert shown == [
        f"benchmarks/{name}-{kind}.png" for name in ("cpu", "gpu") for kind in ("floor", "speedup")
    ]
    assert all((full.page.parent / picture).exists() for picture in shown)


def test_the_page_describes_every_rival(full: page.Site) -> None:
    tables = re.split("On .*:\n", section(full.page.read_text(), "## Rivals"))
    for rivals, table in zip((RIVALS, WINDOW_RIVALS, RAGGED_RIVALS), tables, strict=True):
        for rival in rivals:
            (line,) = rows_of(table, rival.name)
            assert line[1].replace("\\", "") == rival.summary
    for name in ("torch.ops.per_step_dense.forward", "torch.compile(matmul)"):
        assert len(rows_of(tables[0], name)) == 1


def test_gpu_cases_that_no_record_covers_are_not_measured(site: page.Site) -> None:
    first, second, *rest = GPU_CASES
    rows = (
        row_of(first, [measured(OURS, by_clock={"cold": 4.0}), measured("einsum", 8.0)]),
        row_of(first, [failed(OURS, Outcome.WRONG, "y is off")], Pass.BACKWARD),
        row_of(
            second,
            [measured(OURS, by_clock={"cold": 4.0}), measured("einsum", by_clock={"cold": 8.0})],
        ),
    )
    write(cuda_record(rows=rows), site.results / "gpu.json")
    page.main([], site.root)
    table = section(site.page.read_text(), "## CUDA: what is measured, and what is not")
    assert rows_of(table, first.name)[0][-2:] == ["gpu: no rival", "gpu: wrong"]
    assert rows_of(table, second.name)[0][-2:] == ["gpu: 2.00", "not measured"]
    for case in rest:
        name = case.name.replace("*", "\\*")
        assert rows_of(table, name)[0][-2:] == ["not measured"] * 2


def test_readme_tells_every_case_with_the_machine(full: page.Site) -> None:
    readme = full.readme.read_text()
    assert "Abacus 9000, 2 threads, 2026-03-04, torch 2.11.0" in readme.replace("\n", " ")
    seed, gpu_seed = rows_of(readme, "seed")
    assert seed[-2:] == ["1.20 (baddbmm)"] * 2
    assert gpu_seed[-2:] == ["0.65 (baddbmm)"] * 2
    for case in CPU_CASES[1:]:
        assert rows_of(readme, case.name) == [
            [case.name, str(case.sizes), "float32", "not measured", "not measured"]
        ]
    assert "forward: 0.75 times `baddbmm`'s" in readme
    assert "not measured, so none is claimed" not in readme
    text_lines = [line for line in readme.splitlines() if not line.startswith("|")]
    assert all(len(line) <= 100 for line in text_lines)


def test_readme_tells_nothing_of_quick_runs(site: page.Site) -> None:
    write(cpu_record(is_quick=True), site.results / "cpu.json")
    page.main([], site.root)
    assert "Speed on a CPU: not measured." in site.readme.read_text()
    assert "- quick: fewer turns and cases" in site.page.read_text()


def test_readme_takes_the_largest_record_of_a_machine(site: page.Site) -> None:
    smaller = cpu_record(rows=(row([measured(OURS, 10.0), measured("einsum", 30.0)]),))
    for name in ("a.json", "z.json"):  # before and after the larger one
        write(smaller, site.results / name)
    write(cpu_record(), site.results / "m.json")
    page.main([], site.root)
    assert rows_of(site.readme.read_text(), "seed") == [
        ["seed", "32,10,4,8", "float32", "1.20 (baddbmm)", "1.20 (baddbmm)"]
    ]


def test_overhead_alone_claims_no_speed(site: page.Site) -> None:
    write(cpu_record(rows=()), site.results / "cpu.json")
    page.main([], site.root)
    readme = site.readme.read_text()
    assert "0.75 times" in readme and "Speed on a CPU: not measured." in readme
    assert not site.pictures.exists()


def test_a_record_without_a_rival_says_not_measured(site: page.Site) -> None:
    write(cpu_record(rows=(row([measured(OURS, 10.0)]),)), site.results / "cpu.json")
    page.main([], site.root)
    assert rows_of(site.readme.read_text(), "seed")[0][-2:] == ["not measured"] * 2


# Markers


def test_what_is_outside_of_markers_stays() -> None:
    begin = begin_marker("a command")
    assert begin == "<!-- begin: a command -->"
    text = f"{END}\n{begin}\nold\n{END}\nbetween\n<!-- begin: another -->\nits\n{END}\n"
    assert replace_between(text, begin, "new") == text.replace("old", "new")


@pytest.mark.parametrize("text", ["", "<!-- begin: x -->", END, f"{END}<!-- begin: x -->"])
def test_missing_markers_are_an_error(text: str) -> None:
    with pytest.raises(SystemExit, match="there are no markers"):
        replace_between(text, begin_marker("x"), "new")
