"""A machine for records that no machine has made."""

from __future__ import annotations

from bench.record import Machine

GPU = Machine(
    device="cuda",
    device_name="NVIDIA H200",
    cpu="CPU",
    threads=1,
    driver="580.1",
    cuda="13.0",
    torch="2.11.0+cu130",
    python="3.12",
    per_step_dense="0",
    commit="0123456789abcdef",
    is_dirty=False,
    date="2026-01-02T03:04:05+00:00",
)
