"""Faults of the family `sm90` in what its gradients add to the forward."""

from __future__ import annotations

from .common import Fault, fault
from .sm90 import BOXES, CONSUMER, EPILOGUE, HOST, MAINLOOP, PLAN, PRODUCER, WALK

PRODUCTS, SUMS = "csrc/kernels/sm90/products.h", "csrc/kernels/sm90/column_sums.cuh"

BACKWARD, WEIGHT_FIRST = "sm90 backward", "sm90 backward with grad-weight first"
WIDE, TWO = "sm90 backward of wide tiles", "sm90 backward of two consumers"
BY_TURNS, SHORT = "sm90 backward by turns", "sm90 backward by turns of short rows"
CLUSTERS, SPLIT = "sm90 backward by clusters", "sm90 split backward"
REPEATED, COPIED = "sm90 backward of repeated steps", "sm90 backward of dz that is copied"
ONE = "sm90 gradients one at a time"
APART = "sm90 backward whose long items end inside a round"

PRODUCT_FAULTS: dict[str, Fault] = {
    "sm90 backward: the weight of grad-input is transposed": fault(
        BACKWARD, MAINLOOP, "kTransB = Product::kMajorB == Major::kRow", "kTransB = true"
    ),
    "sm90 backward: the x of grad-weight is not transposed": fault(
        BACKWARD, MAINLOOP, "kTransA = Product::kMajorA == Major::kRow", "kTransA = false"
    ),
    "sm90 backward: steps along the rows of x are those along k": fault(
        BACKWARD, MAINLOOP, "kStepBytes<Product::kMajorA>", "kStepBytes<Major::kK>"
    ),
    "sm90 backward: steps along k of the weight are those along its rows": fault(
        BACKWARD, MAINLOOP, "kStepBytes<Product::kMajorB>", "kStepBytes<Major::kRow>"
    ),
    "sm90 backward: bfloat16 is multiplied as float16": fault(
        "sm90 backward of bfloat16",
        MAINLOOP,
        "std::is_same_v<typename Config::Scalar, __half>",
        "true",
    ),
    "sm90 backward: dz is fetched as if it were a weight": fault(
        BACKWARD, PRODUCTS, "kTensorB = TensorKind::kRows", "kTensorB = TensorKind::kWeight"
    ),
    "sm90 backward: the gradient of weight is stored as if it were rows": fault(
        BACKWARD, PRODUCTS, "kTensorC = TensorKind::kWeight", "kTensorC = TensorKind::kRows"
    ),
    "sm90 backward: rows and columns of what is stored are exchanged": fault(
        BACKWARD,
        EPILOGUE,
        "box_at<Product::kTensorC>(t, m, n)",
        "box_at<Product::kTensorC>(t, n, m)",
    ),
}

FETCH_FAULTS: dict[str, Fault] = {
    "sm90 backward: rows and columns of x are exchanged": fault(
        BACKWARD, PRODUCER, "(t, k, at.m0 + m)", "(t, at.m0 + m, k)"
    ),
    "sm90 backward: rows and columns of the weight are exchanged": fault(
        BACKWARD,
        PRODUCER,
        "box_at<Product::kTensorB>(t, n, k)",
        "box_at<Product::kTensorB>(t, k, n)",
    ),
    "sm90 backward: all panels of x are the first": fault(
        BY_TURNS, PRODUCER, "(t, k, at.m0 + m)", "(t, k, at.m0)"
    ),
    "sm90 backward: the bytes of columns of x that are not there are expected": fault(
        SHORT, PRODUCER, "panels_a * sizeof stage.b[0]", "Config::kPanelsOfA * sizeof stage.b[0]"
    ),
    "sm90 backward: columns of x that are not there are fetched": fault(
        SHORT, PRODUCER, "if (panel < panels_a)", "if (true)"
    ),
    "sm90 backward: columns of x are counted by those of dz": fault(
        CLUSTERS, PRODUCER, "(params.gemm.m, at.m0)", "(params.gemm.n, at.m0)"
    ),
    "sm90 backward: maps of a product that is not wanted are prefetched": fault(
        ONE, PRODUCER, "  if (product.order.items == 0) return;\n", ""
    ),
    "sm90 backward: the map of an x that nobody reads is prefetched": fault(
        ONE, PRODUCER, "if (product.gemm.m > 0) ", ""
    ),
    "sm90 backward: repeated steps of grad-input's dz are stepped along": fault(
        REPEATED,
        BOXES,
        "boxes.a_has_steps = boxer.has_steps(problem.dz.stride[1]);",
        "boxes.a_has_steps = true;",
    ),
    "sm90 backward: repeated steps of grad-weight's dz are stepped along": fault(
        REPEATED,
        BOXES,
        "boxes.b_has_steps = boxer.has_steps(problem.dz.stride[1]);",
        "boxes.b_has_steps = true;",
    ),
    "sm90 backward: repeated steps of x are stepped along": fault(
        REPEATED, BOXES, "boxer.has_steps(problem.x.stride[1]);", "true;", occurrence=2
    ),
    "sm90 backward: repeated steps of the weight are stepped along": fault(
        REPEATED, BOXES, "boxer.has_steps(problem.weight.stride[0]);", "true;", occurrence=2
    ),
    "sm90 backward: boxes of x are as high as a tile": fault(
        BY_TURNS,
        BOXES,
        "rows(problem.x, problem.i, tile.block_k)",
        "rows(problem.x, problem.i, tile.block_m)",
    ),
    "sm90 backward: boxes of dz are as high as a stage has terms": fault(
        BY_TURNS,
        BOXES,
        "rows(problem.dz, problem.o, boxer.rows_of_tile())",
        "rows(problem.dz, problem.o, tile.block_k)",
    ),
    "sm90 backward: boxes of the gradient of weight are as high as a tile": fault(
        TWO,
        BOXES,
        "weight(problem.dweight, tile.consumer_rows)",
        "weight(problem.dweight, tile.block_m)",
    ),
    "sm90 backward: the batch has a row more": fault(
        BACKWARD, BOXES, "{columns, steps, problem_.b}", "{columns, steps, problem_.b + 1}"
    ),
}

LIST_FAULTS: dict[str, Fault] = {
    "sm90 backward: short items begin where the long ones end": fault(
        BACKWARD, WALK, "is_long ? item : short_item(list.order, item)", "item"
    ),
    "sm90 backward: the long items have one of the short ones": fault(
        BACKWARD,
        WALK,
        "is_long = item < uint32_t(list.order.long_items)",
        "is_long = item <= uint32_t(list.order.long_items)",
    ),
    "sm90 backward: the list ends with the long items": fault(
        BACKWARD, WALK, "return list.order.numbers;", "return list.order.long_items;"
    ),
    "sm90 backward: the products are exchanged": fault(
        BACKWARD,
        WALK,
        "is_long == list.order.is_grad_weight_first",
        "is_long != list.order.is_grad_weight_first",
    ),
    "sm90 backward: grad-weight is always first": fault(
        BACKWARD, WALK, "is_long == list.order.is_grad_weight_first", "is_long"
    ),
    "sm90 backward: grad-weight is never first": fault(
        WEIGHT_FIRST, WALK, "is_long == list.order.is_grad_weight_first", "!is_long"
    ),
    "sm90 backward: nobody passes while a long item lasts": fault(
        APART, WALK, "is_last_long ? order.rounds_apart : 1", "1"
    ),
    "sm90 backward: every long item lasts as many rounds": fault(
        APART, WALK, "is_last_long ? order", "item < order.long_items ? order"
    ),
    "sm90 backward: places that are passed count as short items": fault(
        APART, WALK, "return since - passed;", "return since;"
    ),
    "sm90 backward: in all rounds as many have passed": fault(
        APART, WALK, "round < apart ? (round + 1) * last : apart * last", "apart * last"
    ),
    "sm90 backward: the list is as long as if nobody passed": fault(
        APART,
        PLAN,
        "first.items + second.items + (list.rounds_apart - 1) * list.clusters_with_last",
        "first.items + second.items",
    ),
    "sm90 backward: tiles of grad-weight are placed as those of grad-input": fault(
        BACKWARD, WALK, "place_of<Config>(weight, at)", "place_of<Config>(input, at)"
    ),
    "sm90 backward: a step has the items of one split": fault(
        SPLIT, WALK, " * order.tiles_n * order.splits;", " * order.tiles_n;"
    ),
    "sm90 backward: a consumer skips the stages of the wrong product": fault(
        BY_TURNS,
        CONSUMER,
        "ring.skip(at.k_blocks);",
        "if constexpr (std::is_same_v<decltype(product), GradWeight>)"
        " ring.skip(list_.params().grad_input.order.k_blocks);"
        " else ring.skip(at.k_blocks);",
    ),
}

COLUMN_SUM_FAULTS: dict[str, Fault] = {
    "sm90 backward: every tile of rows sums the columns of dz": fault(
        CLUSTERS, CONSUMER, "column_sums.data && at.m0 == 0", "column_sums.data"
    ),
    "sm90 backward: column sums are not stored": fault(
        BACKWARD, CONSUMER, "    epilogue_.store(params, at, columns);\n", ""
    ),
    "sm90 backward: without rows of x there are no column sums": fault(
        ONE,
        PLAN,
        "std::max<int64_t>(ceil_div(tiles_m, tile.cluster), sums_columns)",
        "ceil_div(tiles_m, tile.cluster)",
    ),
    "sm90 backward: a stage whose columns are summed is refilled without a proxy fence": fault(
        BY_TURNS, SUMS, "    ptx::fence_proxy_async();\n", ""
    ),
    "sm90 backward: columns are summed as if they were not swizzled": fault(
        BACKWARD, SUMS, "(chunk() % kChunksOfRow ^ row % 8)", "(chunk() % kChunksOfRow)"
    ),
    "sm90 backward: a share of the column sums is missing": fault(
        BACKWARD, SUMS, "i < kShares; ++i) sum +=", "i < kShares - 1; ++i) sum +="
    ),
    "sm90 backward: all shares are of the same terms": fault(
        BACKWARD, SUMS, "row = share() + i * kShares", "row = i * kShares"
    ),
    "sm90 backward: all consumers sum the same columns": fault(
        TWO, SUMS, "consumer * kPanels)", "0)"
    ),
    "sm90 backward: consumers that take turns sum a half each": fault(
        BY_TURNS,
        SUMS,
        "first_panel_(Config::kPingpong ? 0 : consumer * kPanels)",
        "first_panel_(consumer)",
    ),
    "sm90 backward: all panels have the columns of the first": fault(
        WIDE, SUMS, "first_panel_ + chunk() / kChunksOfRow", "first_panel_"
    ),
    "sm90 backward: shares are added up before they are there": fault(
        BACKWARD, SUMS, "    sync();\n", ""
    ),
    "sm90 backward: shares overwrite outputs that are not read": fault(
        BACKWARD, EPILOGUE, "    wait_for_room();\n    columns", "    columns"
    ),
    "sm90 backward: columns that are not there are summed": fault(
        BACKWARD, SUMS, "      if (n >= params.gemm.n) break;\n", ""
    ),
    "sm90 backward: columns are those of the first tile": fault(
        BACKWARD, SUMS, "n = at.n0 + first_panel_", "n = first_panel_"
    ),
    "sm90 backward: all splits leave the same column sums": fault(
        SPLIT, SUMS, " + at.split * params.column_sum_part_elems", ""
    ),
    "sm90 backward: parts of column sums are stored as if they were whole": fault(
        SPLIT, SUMS, "if (params.is_split) {", "if (false) {"
    ),
}

HOST_FAULTS: dict[str, Fault] = {
    "sm90 backward: dz is not copied": fault(
        COPIED,
        HOST,
        "status = activation_backward(work.copy_of_dz, stream);",
        "status = cudaSuccess;",
    ),
    "sm90 backward: dz is fetched where it cannot be": fault(
        COPIED, PLAN, "if (!why_no_box_of_dz(problem).empty()) {", "if (false) {"
    ),
    "sm90 backward: the copies of a row's steps overlap": fault(
        COPIED, PLAN, "{t * o, o, 1}};", "{o, o, 1}};"
    ),
    "sm90 backward: there is room for one step of the copy": fault(
        COPIED, PLAN, "take_bytes(problem.b * t * o *", "take_bytes(problem.b * o *"
    ),
    "sm90 backward: the plan does not know of the copy": fault(
        COPIED, PLAN, "launches_before = work.copy_of_dz.b > 0;", "launches_before = 0;"
    ),
    "sm90 backward: both products' parts are added up as one's": fault(
        SPLIT, PLAN, "work.sums.sum[kGradWeight]", "work.sums.sum[kGradInput]"
    ),
}

SM90_BACKWARD_FAULTS = {
    **PRODUCT_FAULTS,
    **FETCH_FAULTS,
    **LIST_FAULTS,
    **COLUMN_SUM_FAULTS,
    **HOST_FAULTS,
}
