"""Does a record survive its file, and does a file that is none say so?"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from bench_records import cpu_record, cuda_record

from bench.record import Record, RecordError, read, write


@pytest.mark.parametrize("record", [cpu_record(), cuda_record()], ids=["cpu", "cuda"])
def test_what_is_written_is_read(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write(record, path)
    assert read(path) == record
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_cut_write_leaves_the_last_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write(cpu_record(), path)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", cut)
    with pytest.raises(KeyboardInterrupt):
        write(cuda_record(), path)
    assert read(path) == cpu_record()


def test_a_missing_file_is_a_record_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"none\.json: No such file or directory"):
        read(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"schema_version": 2}, "schema 1: schema_version"),
        ({"is_quick": "maybe"}, "is_quick"),
        ({"floors": []}, "floors: Extra inputs are not permitted"),
        ({"machine": {}}, "machine.device: Field required"),
    ],
    ids=["another version", "another type", "an unknown field", "missing fields"],
)
def test_other_contents_are_a_record_error(
    change: dict[str, object], text: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(json.loads(cpu_record().model_dump_json()) | change))
    with pytest.raises(RecordError, match=text.replace(".", r"\.")):
        read(path)


@pytest.mark.parametrize("contents", [b"", b"junk", b"[]", b"\xff\xfe"])
def test_junk_is_a_record_error(contents: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(contents)
    with pytest.raises(RecordError, match=r"a\.json is not a record of schema 1: the whole: "):
        read(path)
