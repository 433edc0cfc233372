"""Faults in sm90's kernels of rows that differ by step."""

from __future__ import annotations

from .common import SYNC, Fault, fault

SM90 = "csrc/kernels/sm90/"
LIST, TERMS = SM90 + "ranged_list.cuh", SM90 + "terms.cuh"
STORES, EPILOGUE = SM90 + "row_stores.cuh", SM90 + "epilogue.cuh"
PRODUCER, PLAN = SM90 + "producer.cuh", SM90 + "plan.cpp"

FORWARD, MANY_STEPS = "sm90 packed forward", "sm90 packed forward of many steps"
BACKWARD, BY_TURNS = "sm90 packed backward", "sm90 packed backward by turns"

SM90_ROW_RANGE_FAULTS: dict[str, Fault] = {
    "sm90 rows: where the step's begin is forgotten": fault(
        FORWARD, LIST, "  place.m0 += at.rows.begin;\n", ""
    ),
    "sm90 rows: no barrier between counting and adding the counts": fault(
        FORWARD, LIST, SYNC, "", 1
    ),
    "sm90 rows: the share that an item begins is taken for the one before": fault(
        FORWARD, LIST, "before_ <= item", "before_ < item"
    ),
    "sm90 rows: an item belongs to the step that ends before it": fault(
        FORWARD, LIST, "up_to_own <= item", "up_to_own < item"
    ),
    "sm90 rows: a step between two rounds is passed over": fault(
        MANY_STEPS, LIST, "first += 32", "first += 33"
    ),
    "sm90 rows: a lane's share is a thread's": fault(
        MANY_STEPS, LIST, "steps_a_lane_ = steps_a_thread * kThreadsALane", "steps_a_lane_ = 1"
    ),
    "sm90 rows: every lane fetches": fault(
        FORWARD, PRODUCER, "        if (!fetches_) return;\n", ""
    ),
    "sm90 rows: a tile that ends inside is stored whole": fault(
        FORWARD, EPILOGUE, "at.rows_end < min(at.m0 + Config::kBlockM", "at.rows_end < min(at.m0"
    ),
    "sm90 rows: outputs have steps": fault(
        FORWARD, EPILOGUE, "kSharesRows<Product> ? 0 : at.t", "at.t"
    ),
    "sm90 rows: one row more is stored": fault(
        FORWARD, STORES, "at.rows_end - at.m0;", "at.rows_end - at.m0 + 1;"
    ),
    "sm90 rows: columns beyond the last are stored": fault(
        FORWARD, STORES, "    if (n >= columns) continue;\n", ""
    ),
    "sm90 rows: chunks are stored as they lie": fault(
        FORWARD, STORES, "(chunk % kChunksOfPanel ^ row % 8)", "chunk % kChunksOfPanel"
    ),
    "sm90 rows: rows are stored before all are written": fault(
        FORWARD,
        EPILOGUE,
        "    sync();\n    if (is_leader())",
        "    if (is_leader())",
    ),
    "sm90 rows: a step's terms begin at the first row": fault(
        BACKWARD, LIST, "place.first_k = at.rows.begin;", "place.first_k = 0;"
    ),
    "sm90 rows: a step without rows has no stage": fault(
        BACKWARD, LIST, "max(at.rows.blocks_of(Config::kBlockK), 1u)", "at.rows.blocks_of(64)"
    ),
    "sm90 rows: others' rows of x are not cleared": fault(
        BACKWARD, TERMS, "        clear(stage.a[panel * Config::kBlockK + row] + byte);\n", ""
    ),
    "sm90 rows: others' rows of dz are not cleared": fault(
        BACKWARD, TERMS, "++panel) clear(stage.b[panel][row] + byte);", "++panel) (void)byte;"
    ),
    "sm90 rows: the first of others is not cleared": fault(
        BY_TURNS, TERMS, "int row = rows_of_last_ +", "int row = rows_of_last_ + 1 +"
    ),
    "sm90 rows: every stage is cleared": fault(BY_TURNS, TERMS, "k_block < last_block_ || ", ""),
    "sm90 rows: no proxy fence after clearing": fault(
        BACKWARD, TERMS, "    ptx::fence_proxy_async();\n", ""
    ),
    "sm90 rows: no barrier after clearing": fault(
        BACKWARD,
        TERMS,
        "    ptx::bar_sync(barrier_of_consumer(consumer_), kWarpgroupThreads);\n",
        "",
    ),
    "sm90 rows: sums that a caller wants split are": fault(BACKWARD, PLAN, "has_ranges ? 1 : ", ""),
}
