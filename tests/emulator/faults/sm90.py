"""Faults of the family `sm90`."""

from __future__ import annotations

from ..mutation import Mutation
from .common import Fault, fault
from .sm90_host import SM90_HOST_FAULTS

SM90 = "csrc/kernels/sm90/"
PIPELINE, PRODUCER, MAINLOOP = (
    SM90 + "pipeline.cuh",
    SM90 + "producer.cuh",
    SM90 + "mainloop_shared.cuh",
)
OUTPUTS, SUMS, BIAS = SM90 + "outputs_rows.cuh", SM90 + "accumulators.cuh", SM90 + "bias.cuh"
DESCRIPTOR, SHARES = SM90 + "matrix_descriptor.cuh", SM90 + "config.cuh"
CONSUMER, EPILOGUE, GEMM = SM90 + "consumer.cuh", SM90 + "epilogue.cuh", SM90 + "gemm.cuh"
WALK, PLAN, BOXES = SM90 + "tile_walk.cuh", SM90 + "plan.cpp", SM90 + "boxes.cpp"
TURNS, STORAGE, HOST, MAPS = (
    SM90 + "turns.cuh",
    SM90 + "shared_storage.h",
    SM90 + "sm90.cu",
    SM90 + "tensor_map.cu",
)

FORWARD, BY_TURNS = "sm90 forward", "sm90 forward by turns"
LONG_BY_TURNS = "sm90 forward by turns of long sums"
TWO, CLUSTERS = "sm90 forward of two consumers", "sm90 forward by clusters"
CLUSTERS_BY_TURNS = "sm90 forward by clusters that take turns"
COLUMNS, SPLIT, STRIDES = (
    "sm90 forward of many columns",
    "sm90 split forward",
    "sm90 forward of strides",
)
REPEATED = "sm90 forward of repeated steps"
FEW_ROWS = LONG_BY_TURNS

RING_FAULTS: dict[str, Fault] = {
    "sm90: the producer does not wait for a stage to be empty": fault(
        FORWARD, PRODUCER, "wait(smem_.empty[ring.stage], ring.parity ^ 1);", ""
    ),
    "sm90: the producer waits for stages that nobody has filled yet": fault(
        FORWARD, PRODUCER, "ring.parity ^ 1)", "ring.parity)"
    ),
    "sm90: consumers do not wait for a stage to be full": fault(
        FORWARD, MAINLOOP, "wait(smem_.full[ring.stage], ring.parity);", ""
    ),
    "sm90: parity does not change with the round": fault(FORWARD, PIPELINE, "parity ^= 1;", ""),
    "sm90: a stage is given back while it is multiplied": fault(
        FORWARD,
        MAINLOOP,
        "if (k_block > 0) release<Config>(smem_, previous);",
        "release<Config>(smem_, ring.stage);",
    ),
    "sm90: a tile's last stage is not given back": fault(
        FORWARD, MAINLOOP, "    release<Config>(smem_, last_stage);\n", ""
    ),
    "sm90: too many bytes are expected": fault(
        FORWARD, PRODUCER, "panels_b * sizeof stage.b[0])", "panels_b * sizeof stage.b[0] + 16)"
    ),
    "sm90: too few bytes are expected": fault(
        FORWARD, PRODUCER, "bytes_a + panels_b", "bytes_a - 16 + panels_b"
    ),
    "sm90: the bytes of columns that are not there are expected": fault(
        LONG_BY_TURNS, PRODUCER, "+ panels_b * sizeof", "+ Config::kPanels * sizeof"
    ),
    "sm90: a stage has one reader less": fault(
        FORWARD,
        PIPELINE,
        "empty[stage]), Config::kReaders)",
        "empty[stage]), Config::kReaders - 1)",
    ),
    "sm90: a stage has one reader more": fault(
        FORWARD,
        PIPELINE,
        "empty[stage]), Config::kReaders)",
        "empty[stage]), Config::kReaders + 1)",
    ),
    "sm90: initialised barriers are not made known": fault(
        FORWARD, PIPELINE, "  ptx::fence_mbarrier_init();\n", ""
    ),
    "sm90: nobody waits for the barriers": fault(
        FORWARD,
        GEMM,
        "  if (threadIdx.x == 0) init_barriers<Config>(smem);\n  sync_cluster<Config>();",
        "  if (threadIdx.x == 0) init_barriers<Config>(smem);",
    ),
    "sm90: a consumer does not skip the other's stages": fault(
        LONG_BY_TURNS, CONSUMER, "ring.skip(at.k_blocks);", ""
    ),
    "sm90: parity does not change when rounds are skipped": fault(
        LONG_BY_TURNS, PIPELINE, "parity ^= stage / Config::kStages & 1;", ""
    ),
    "sm90: all tiles are the first consumer's": fault(BY_TURNS, TURNS, "number % 2", "0"),
    "sm90: consumers do not wait for their turn": fault(
        LONG_BY_TURNS, CONSUMER, "    turns_.wait();\n", ""
    ),
    "sm90: the turn is not passed on": fault(
        BY_TURNS, CONSUMER, "    if (has_next) turns_.pass_on();\n", ""
    ),
    "sm90: nobody has the first turn": fault(BY_TURNS, CONSUMER, "    turns_.begin();\n", ""),
}

WGMMA_FAULTS: dict[str, Fault] = {
    "sm90: no fence before the products": fault(FORWARD, MAINLOOP, "ptx::wgmma_fence();", ""),
    "sm90: products are not committed": fault(FORWARD, MAINLOOP, "ptx::wgmma_commit_group();", ""),
    "sm90: a stage's products are not waited for": fault(
        FORWARD, MAINLOOP, "ptx::wgmma_wait_group<1>();", ""
    ),
    "sm90: a tile's last products are not waited for": fault(
        FORWARD, MAINLOOP, "ptx::wgmma_wait_group<0>();", "ptx::wgmma_wait_group<1>();"
    ),
    "sm90: a tile begins with the sums of the one before": fault(
        FORWARD, MAINLOOP, "!is_first || step > 0", "true"
    ),
    "sm90: every stage begins its sums anew": fault(
        FORWARD, MAINLOOP, "!is_first || step > 0", "step > 0"
    ),
    "sm90: descriptors name a swizzle of 64 bytes": fault(
        FORWARD, DESCRIPTOR, "uint64_t{1} << 62", "uint64_t{2} << 62"
    ),
    "sm90: descriptors name no swizzle": fault(
        FORWARD, DESCRIPTOR, "uint64_t{1} << 62", "uint64_t{0} << 62"
    ),
    "sm90: leading and stride bytes are exchanged": fault(
        "sm90 forward of wide tiles",
        DESCRIPTOR,
        "field(leading_bytes) << 16 | field(kSwizzleBytes) << 32",
        "field(kSwizzleBytes) << 16 | field(leading_bytes) << 32",
    ),
    "sm90: the panels of the weight lie closer": fault(
        "sm90 forward of wide tiles", MAINLOOP, "? kPanelBytes : 0", "? kPanelBytes / 2 : 0"
    ),
    "sm90: steps along x are too short": fault(
        FORWARD, MAINLOOP, "smem_a + step * kStepBytes", "smem_a + step / 2 * kStepBytes"
    ),
    "sm90: steps along the weight are too short": fault(
        FORWARD, MAINLOOP, "smem_b + step * kStepBytes", "smem_b + step / 2 * kStepBytes"
    ),
    "sm90: the weight is not transposed": fault(
        FORWARD, MAINLOOP, "kTransB = Product::kMajorB == Major::kRow", "kTransB = false"
    ),
    "sm90: x is transposed": fault(
        FORWARD, MAINLOOP, "kTransA = Product::kMajorA == Major::kRow", "kTransA = true"
    ),
    "sm90: float16 is multiplied as bfloat16": fault(
        FORWARD, MAINLOOP, "std::is_same_v<typename Config::Scalar, __half>", "false"
    ),
    "sm90: bfloat16 is multiplied as float16": fault(
        "sm90 forward of bfloat16",
        MAINLOOP,
        "std::is_same_v<typename Config::Scalar, __half>",
        "true",
    ),
    "sm90: all consumers multiply the same rows": fault(
        TWO, MAINLOOP, "first_row_(first_row<Config>(consumer))", "first_row_(0)"
    ),
    "sm90: a consumer's second 64 rows are its first": fault(
        BY_TURNS, MAINLOOP, "a + i * kPanelBytes", "a"
    ),
    # Both, or the one aligns the other.
    "sm90: stages and outputs are aligned to 128 bytes only": Fault(
        FORWARD,
        (
            Mutation(STORAGE, "struct alignas(kSwizzleBytes) Stage", "struct alignas(128) Stage"),
            Mutation(STORAGE, "struct alignas(kSwizzleBytes) Out", "struct alignas(128) Out"),
        ),
    ),
}

EPILOGUE_FAULTS: dict[str, Fault] = {
    "sm90: outputs are stored without a proxy fence": fault(
        FORWARD, EPILOGUE, "ptx::fence_proxy_async();", ""
    ),
    "sm90: no barrier before the store": fault(
        FORWARD, EPILOGUE, "    sync();\n    if (is_leader())", "    if (is_leader())"
    ),
    "sm90: no barrier before outputs are overwritten": fault(
        FORWARD, EPILOGUE, "    finish();\n    sync();\n", "    finish();\n"
    ),
    "sm90: outputs are overwritten before they are read": fault(
        FORWARD, EPILOGUE, "    finish();\n    sync();\n", "    sync();\n"
    ),
    "sm90: shared memory is gone before outputs are read": fault(
        FORWARD, CONSUMER, "epilogue_.finish();", ""
    ),
    "sm90: stores are not committed": fault(
        FORWARD, EPILOGUE, "    ptx::cp_async_bulk_commit_group();\n", ""
    ),
    "sm90: consumers meet at one barrier": fault(TWO, TURNS, "return 1 + consumer;", "return 1;"),
    "sm90: outputs are not swizzled": fault(FORWARD, OUTPUTS, "pair ^ thread_.row % 8", "pair"),
    "sm90: the lower rows lie elsewhere": fault(
        FORWARD, OUTPUTS, "smem + row * 8 * kRowBytes +", "smem + row * 4 * kRowBytes +"
    ),
    "sm90: the bias is that of the first panel": fault(
        "sm90 forward of wide tiles", OUTPUTS, "smem_bias_ + panel * kPanelColumns", "smem_bias_"
    ),
    "sm90: the bias is that of the first tile": fault(
        FORWARD, BIAS, "n = at.n0 + first_column", "n = first_column"
    ),
    "sm90: the bias is read beyond its end": fault(
        FORWARD, BIAS, "params.gemm.bias.data && n < params.gemm.n", "params.gemm.bias.data"
    ),
    "sm90: a pair has one bias": fault(FORWARD, OUTPUTS, "+= bias.y;", "+= bias.x;"),
    "sm90: all panels are the first": fault(
        "sm90 forward of wide tiles", SUMS, "panel != index", "panel != 0"
    ),
    "sm90: all panels of a block of rows are its first": fault(
        "sm90 forward of wide tiles",
        SUMS,
        "panel % kPanelsOfBlock * kSumsOfPanel + i",
        "i",
    ),
    "sm90: both blocks of rows are the first": fault(
        BY_TURNS,
        OUTPUTS,
        "smem_outputs_.panel[panel][block * kWgmmaRows",
        "smem_outputs_.panel[panel][0",
    ),
    "sm90: z is activated": fault(
        FORWARD, EPILOGUE, "params.z, Activation::kNone", "params.z, params.gemm.activation"
    ),
    "sm90: y is not activated": fault(
        FORWARD, EPILOGUE, "params.c, params.gemm.activation", "params.c, Activation::kNone"
    ),
    "sm90: all consumers store the same rows": fault(
        TWO,
        EPILOGUE,
        "at.m0 + first_row<Config>(consumer_)",
        "at.m0",
    ),
    "sm90: rows that are not there leave parts": fault(
        SPLIT, OUTPUTS, "|| m + row * 8 >= gemm.m) continue;", ") continue;"
    ),
    "sm90: columns that are not there leave parts": fault(
        SPLIT, OUTPUTS, "n + pair * 8 >= gemm.n || ", ""
    ),
    "sm90: all splits leave the same parts": fault(
        SPLIT, OUTPUTS, " + at.split * params.part_elems", ""
    ),
    "sm90: parts are those of the first 64 rows": fault(
        "sm90 split forward by turns", OUTPUTS, "first_row_ + block * kWgmmaRows", "first_row_"
    ),
}

ROW_FAULTS: dict[str, Fault] = {
    "sm90: the bytes of rows of x that are not there are expected": fault(
        FEW_ROWS, PRODUCER, "params.rows_of_a * kRowBytes", "sizeof stage.a"
    ),
    "sm90: the last rows of x are not fetched": fault(
        FEW_ROWS, BOXES, "ceil_div(problem_.b, kSwizzleRows)", "problem_.b / kSwizzleRows"
    ),
    "sm90: rows of x are fetched beyond the tile": fault(
        FORWARD, BOXES, "std::min<int64_t>(tile_.block_m, ", "std::max<int64_t>(tile_.block_m, "
    ),
}

WALK_FAULTS: dict[str, Fault] = {
    "sm90: a block computes one tile only": fault(
        FORWARD, WALK, "item_ = next();", "item_ = list_.items();"
    ),
    "sm90: a block computes its first tile twice": fault(
        "sm90 forward of a few blocks",
        WALK,
        "int32_t(gridDim.x) / Config::kCluster",
        "int32_t(gridDim.x) / Config::kCluster - 1",
    ),
    "sm90: splits begin with the same terms": fault(
        SPLIT, WALK, "split * order.k_blocks_a_split;", "0;"
    ),
    "sm90: a split adds up one stage of its terms": fault(
        SPLIT, WALK, "min(order.k_blocks_a_split, order.k_blocks - first_k_block)", "1"
    ),
    "sm90: the last band is as wide as the others": fault(
        "sm90 forward of long rows",
        WALK,
        "min(uint32_t(order.band), tiles_n - first_n)",
        "order.band",
    ),
    "sm90: bands begin with the first column": fault(
        "sm90 forward of long rows",
        WALK,
        "(first_n + tile_of_band % band)",
        "(tile_of_band % band)",
    ),
    "sm90: bands are one too many rows long": fault(
        "sm90 forward of long rows",
        WALK,
        "tile - first_n * tiles_m",
        "tile - first_n * (tiles_m - 1)",
    ),
    "sm90: steps inside follow the columns": fault(
        COLUMNS, WALK, "return {item % steps, item / steps};", "return {0, item / steps};"
    ),
    "sm90: steps outside are all the first": fault(
        "sm90 forward of long rows", WALK, "return {item / items, ", "return {0, "
    ),
    "sm90: the blocks of a cluster compute one tile": fault(
        CLUSTERS, WALK, "band * Config::kCluster + rank)", "band * Config::kCluster)"
    ),
    "sm90: blocks of a cluster count as clusters": fault(
        CLUSTERS, WALK, "item_(blockIdx.x / Config::kCluster)", "item_(blockIdx.x)"
    ),
}

CLUSTER_FAULTS: dict[str, Fault] = {
    "sm90: the cluster does not wait for all barriers": fault(
        CLUSTERS,
        GEMM,
        "init_barriers<Config>(smem);\n  sync_cluster<Config>();",
        "init_barriers<Config>(smem);\n  __syncthreads();",
    ),
    "sm90: a block leaves while its neighbour sends": fault(
        CLUSTERS, GEMM, "if constexpr (Config::kCluster > 1) sync_cluster<Config>();", ""
    ),
    "sm90: stages are given back to the own block only": fault(
        CLUSTERS, PIPELINE, "if constexpr (Config::kCluster == 1) {", "if constexpr (true) {"
    ),
    "sm90: stages are given back to the neighbour only": fault(
        CLUSTERS,
        PIPELINE,
        "mbarrier_arrive_cluster(empty, lane)",
        "mbarrier_arrive_cluster(empty, 0)",
    ),
    "sm90: a block's share of the weight stays with it": fault(
        CLUSTERS, PRODUCER, "(1 << Config::kCluster) - 1", "1"
    ),
    "sm90: every block fetches all of the weight for all": fault(
        CLUSTERS, PRODUCER, "panel % Config::kCluster == int(ptx::cluster_ctarank())", "true"
    ),
    "sm90: both blocks fetch the same share": fault(
        CLUSTERS_BY_TURNS,
        PRODUCER,
        "panel % Config::kCluster == int(ptx::cluster_ctarank())",
        "panel % Config::kCluster == 0",
    ),
    "sm90: only the own block's readers are counted": fault(
        CLUSTERS, SHARES, " * Tile::kCluster;", ";"
    ),
}

SM90_FAULTS = {
    **RING_FAULTS,
    **WGMMA_FAULTS,
    **EPILOGUE_FAULTS,
    **ROW_FAULTS,
    **WALK_FAULTS,
    **CLUSTER_FAULTS,
    **SM90_HOST_FAULTS,
}
