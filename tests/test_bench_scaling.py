"""Does the scaling page's model hold against counted messages, and the page show it?"""

from __future__ import annotations

from pathlib import Path

import pytest
from worlds import World

pytest.importorskip("pydantic", reason="needs the bench extra: pip install '.[bench]'")

from bench.record import read_as, write
from bench.scaling import __main__ as command
from bench.scaling.count import counted, modelled, pairs_for
from bench.scaling.model import H200, STRATEGIES, Layer, Mesh, cost
from bench.scaling.record import Counted, ScalingRecord
from bench.scaling.tables import LAYERS, MESHES, computed_tables, counted_table

pytestmark = pytest.mark.slow  # several processes, several times

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "bench" / "results" / "scaling" / "gloo.json"
LAYER = Layer(batch=64, steps=32, in_features=16, out_features=48)


def test_counted_messages_are_the_model_s(world: World) -> None:
    for name, mesh in pairs_for(world.size):
        assert world.run(counted, name, mesh) == [modelled(name, mesh)] * world.size


def test_the_record_has_every_strategy() -> None:
    expected = [(name, mesh) for processes in (2, 4) for name, mesh in pairs_for(processes)]
    record = read_as(ScalingRecord, RECORD)
    assert [(row.strategy, row.mesh) for row in record.rows] == expected
    assert {name for name, _ in expected} == set(STRATEGIES)


def test_the_page_is_made_of_the_record() -> None:
    page = (ROOT / "docs" / "scaling.md").read_text()
    assert command.with_tables(page, read_as(ScalingRecord, RECORD)) == page


# By hand: T I O = 24576 weights and 1536 biases, x of 32768 elements, y of 98304; 4 bytes each.
@pytest.mark.parametrize(
    ("name", "mesh", "state", "sent"),
    [
        ("DDP", Mesh(), 16 * 26112, 0),
        ("DDP", Mesh(data=4), 16 * 26112, 2 * 3 / 4 * 4 * 26112),
        ("FSDP2", Mesh(data=4), 4 * 26112, 3 * 3 / 4 * 4 * 26112),
        ("steps", Mesh(model=4), 4 * 26112, 0),
        ("steps, whole x and y", Mesh(model=4), 4 * 26112, 3 / 4 * 4 * (32768 + 98304)),
        ("out", Mesh(model=4), 4 * 26112, 2 * 3 / 4 * 4 * 32768),
        ("in", Mesh(model=4), 16 * (24576 / 4 + 1536), 2 * 3 / 4 * 4 * 98304),
        ("steps and FSDP2", Mesh(2, 4), 2 * 26112, 3 * 1 / 2 * 26112),
    ],
    ids=lambda value: str(value),
)
def test_what_is_kept_and_sent(name: str, mesh: Mesh, state: float, sent: float) -> None:
    found = cost(LAYER, STRATEGIES[name], mesh, H200)
    assert found.state_bytes == state
    assert found.sent_bytes == pytest.approx(sent)


def test_times_follow_from_the_rates() -> None:
    # 2^20 rows of 16 x 48: bound by memory. 3 products of x, y and weights, and 7 copies of those.
    layer = Layer(batch=2**15, steps=32, in_features=16, out_features=48)
    found = cost(layer, STRATEGIES["DDP"], Mesh(data=8), H200)
    moved = 3 * (2**20 * 64 / 8 + 24576 + 1536) + 7 * (24576 + 1536)
    assert found.compute_s == pytest.approx(4 * moved / 4.8e12)
    assert found.communicate_s == pytest.approx(10e-6 + 2 * 7 / 8 * 4 * 26112 / 450e9)
    assert found.step_s == found.compute_s + found.communicate_s
    # 1024 x 1024 for 4096 rows: bound by arithmetic.
    deep = Layer(batch=4096, steps=8, in_features=1024, out_features=1024)
    update = 7 * 4 * 8 * (1024 * 1024 + 1024) / 4.8e12
    products = 3 * 2 * 4096 * 8 * 1024 * 1024 / 494e12
    assert cost(deep, STRATEGIES["DDP"], Mesh(), H200).compute_s == pytest.approx(products + update)


@pytest.mark.parametrize(
    ("over", "mesh", "rate"),
    [
        ("data", Mesh(data=8), 450e9),
        ("model", Mesh(model=8), 450e9),
        ("data", Mesh(data=64), 400e9),  # eight network cards of 50 GB/s for the eight of a node
        ("model", Mesh(model=64), 400e9),
        ("data", Mesh(8, 8), 50e9),  # one of each group in a node
        ("model", Mesh(8, 8), 450e9),
        ("data", Mesh(16, 4), 100e9),
    ],
    ids=lambda value: str(value),
)
def test_groups_share_the_network_of_their_nodes(over: str, mesh: Mesh, rate: float) -> None:
    assert H200.link_of(over, mesh) == rate


def test_a_mesh_has_to_suit() -> None:
    assert STRATEGIES["steps"].suits(LAYER, Mesh(model=32))
    assert not STRATEGIES["steps"].suits(LAYER, Mesh(model=64))
    assert not STRATEGIES["steps"].suits(LAYER, Mesh(data=2))
    assert not STRATEGIES["DDP"].suits(LAYER, Mesh(model=2))
    assert not STRATEGIES["DDP"].suits(LAYER, Mesh(data=128))
    assert STRATEGIES["out"].suits(LAYER, Mesh(model=16))
    assert not STRATEGIES["in"].suits(LAYER, Mesh(model=32))
    with pytest.raises(ValueError, match=r"^in cannot spread Layer\(.*\) over 1x32$"):
        cost(LAYER, STRATEGIES["in"], Mesh(model=32), H200)


def test_the_tables_name_the_fastest_and_what_does_not_fit() -> None:
    rates, *tables = computed_tables().split("\n\n")
    assert rates.startswith("From data sheets: H200, 8 to a node, 141 GB at 4.8 TB/s, 494 TFLOP/s")
    assert len(tables) == 2 * len(LAYERS)
    for table in tables[1::2]:
        fastest = [line for line in table.splitlines() if "**" in line]
        assert [line.split(" | ")[1] for line in fastest if line.startswith("| 8 ")] == ["steps"]
        assert [line.split(" | ")[1] for line in fastest if line.startswith("| 64 ")] == ["steps"]
        pairs = sum(map(len, MESHES.values()))
        assert len(table.splitlines()) == 2 + pairs
    assert tables[-1].count("does not fit") == 3  # on one GPU, and with DDP on 8 and 64


def test_a_count_that_differs_is_shown(tmp_path: Path) -> None:
    row = Counted(strategy="in", data=1, model=2, payload_bytes={"all_reduce": 4097})
    record = ScalingRecord(machine=read_as(ScalingRecord, RECORD).machine, rows=(row,))
    assert "| in | 1x2 | all_reduce 4,097 | all_reduce 4,096 |" in counted_table(record)
    write(record, tmp_path / "record.json")
    assert read_as(ScalingRecord, tmp_path / "record.json") == record


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--count", str(tmp_path / "record.json")]) == 0
    assert command.main(["--show", str(tmp_path / "record.json")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("| the same |") == 13
    assert len(read_as(ScalingRecord, tmp_path / "record.json").rows) == 13
    with pytest.raises(SystemExit):
        command.main([])
