"""How figures and names are written."""

from __future__ import annotations

from ..record import Clock, Layout, Memory, Record, Row, Timing

NOTHING = "-"


def digits(value: float) -> int:
    """Decimals that make three digits, at most two of them behind the point from 1 on."""
    return 0 if value >= 100 else 1 if value >= 10 else 2


def number(value: float | None) -> str:
    """Three digits, without an exponent from a thousandth on."""
    if value is None:
        return NOTHING
    return f"{value:.{digits(value)}f}" if value >= 1 else f"{value:#.3g}"


def ratio(value: float | None) -> str:
    """Two decimals, fewer from ten on."""
    return NOTHING if value is None else f"{value:.{digits(value)}f}"


def percent(value: float | None) -> str:
    """Whole ones, with a decimal under ten."""
    if value is None:
        return NOTHING
    return f"{100 * value:.{1 if value < 0.0995 else 0}f} %"


def time(timing: Timing | None) -> str:
    """The median and half the span of the middle half of the turns."""
    if timing is None:
        return NOTHING
    decimals = digits(timing.median_us)
    return f"{timing.median_us:.{decimals}f} +- {timing.spread_us / 2:.{decimals}f}"


def megabytes(size: int | None) -> str:
    """10^6 bytes."""
    return NOTHING if size is None else number(size / 1e6)


def memory(value: Memory | None) -> str:
    """The peak over what is given and returned."""
    return NOTHING if value is None else ratio(value.peak_bytes / value.tensors_bytes)


def epilogue(has_bias: bool, activation: str | None) -> str:
    """What follows the product."""
    parts = ("bias" if has_bias else None, activation)
    return " + ".join(part for part in parts if part) or "product alone"


def group(row: Row) -> str:
    """What the rows of one table have in common."""
    return f"{row.computed.value}, {epilogue(row.has_bias, row.activation)}"


def clock(name: Clock, layout: Layout) -> str:
    """Contiguous results are the rule and not mentioned."""
    return name.value if layout is Layout.CONTIGUOUS else f"{name.value}, {layout.value}"


def day(record: Record) -> str:
    """The date without the time of day."""
    return record.machine.date[:10]


def count(number_of: int, thing: str) -> str:
    """1 case, 2 cases."""
    return f"{number_of} {thing}{'' if number_of == 1 else 's'}"


def machine_lines(record: Record) -> list[tuple[str, str]]:
    """What a record was measured on, each with its label."""
    machine, ceilings = record.machine, record.ceilings
    copies = [
        f"{number(copy.gb_per_s)} GB/s ({copy.working_set_bytes / 2**20:.0f} MiB)"
        for copy in ceilings.copies
    ]
    products = [f"{name} {number(tflops)}" for name, tflops in ceilings.tflops.items()]
    cpu = (machine.cpu, count(machine.threads, "thread"), machine.vectors)
    launch = f"{number(ceilings.launch_us)} us"
    if ceilings.graph_launch_us is not None:
        launch += f", in a CUDA graph {number(ceilings.graph_launch_us)} us"
    lines = [
        ("device", machine.device_name),
        ("CPU", ", ".join(filter(None, cpu))),
        ("torch", f"{machine.torch}, Python {machine.python}"),
        ("per_step_dense", f"{machine.per_step_dense}, commit {_commit(record)}"),
        ("date", machine.date),
        ("copies", ", ".join(copies) or "not measured"),
        ("products, TFLOP/s", ", ".join(products) or "not measured"),
        ("smallest call", launch),
    ]
    if machine.device == "cuda":
        cuda = f"{machine.cuda or 'unknown'}, driver {machine.driver or 'unknown'}"
        lines.insert(2, ("CUDA", cuda))
    if record.is_quick:
        lines.append(("quick", "fewer turns and cases: for a look, not for publication"))
    return lines


def _commit(record: Record) -> str:
    machine = record.machine
    if machine.commit is None:
        return "unknown"
    state = {True: ", files differed", False: "", None: ", unknown whether files differed"}
    return machine.commit[:12] + state[machine.is_dirty]
