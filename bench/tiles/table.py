"""A record as lines of text and as a Markdown table."""

from __future__ import annotations

from typing import Final

from .record import AUTO, PRODUCTS, Measured, TilesRecord, TilesRow

LARGEST_ERROR: Final = 0.02  # of 16-bit results of sums of thousands of terms; they have 0.004

HEADER: Final = (
    "| case | B,T,I,O | dtype | pass | floor | chosen | us | fastest | us | chosen / fastest "
    "| torch's products |"
)


def format_line(row: TilesRow) -> str:
    """What was chosen, what would have been best, torch's products; and whoever was wrong."""
    best = row.best()
    line = (
        f"{row.case:20} {row.computed:8} floor {_us(row.floor_us):>6} "
        f"auto {_us(row.time_of(AUTO)):>6} ({row.chosen}) "
        f"best {_us(best.us if best else None):>6} ({best.name if best else '-'}) "
        f"x{_ratio(row)} products {_us(row.time_of(PRODUCTS)):>6}"
    )
    return line + "".join(f"\n    WRONG {text}" for text in wrong(row))


def wrong(row: TilesRow) -> list[str]:
    """Who failed or is too far from float64, and how."""
    return [
        f"{found.name}: {found.failure or f'error {found.error}'}"
        for found in row.candidates
        if found.failure or not _is_right(found)
    ]


def format_table(record: TilesRecord) -> str:
    """A row for each layer and pass; times in microseconds."""
    lines = [HEADER, "| --- " * (HEADER.count("|") - 1) + "|"]
    for row in record.rows:
        best = row.best()
        cells = (
            row.case,
            row.sizes,
            row.arithmetic,
            row.computed,
            _us(row.floor_us),
            row.chosen,
            _us(row.time_of(AUTO)),
            best.name if best else "-",
            _us(best.us if best else None),
            _ratio(row),
            _us(row.time_of(PRODUCTS)),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _is_right(found: Measured) -> bool:
    if found.family == PRODUCTS:
        return True  # neither bias nor activation is in them
    return found.error is not None and found.error < LARGEST_ERROR


def _ratio(row: TilesRow) -> str:
    auto, best = row.time_of(AUTO), row.best()
    return f"{auto / best.us:.2f}" if auto and best and best.us else "-"


def _us(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"
