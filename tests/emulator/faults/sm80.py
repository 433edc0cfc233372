"""Faults in the family `sm80`."""

from __future__ import annotations

from ..mutation import Mutation
from .common import ONE_BLOCK, SYNC, Fault, fault

SM80 = "csrc/kernels/sm80/"
CONFIG = SM80 + "config.cuh"
FRAGMENT = SM80 + "fragment.cuh"
MAINLOOP = SM80 + "mainloop.cuh"
COLUMN_SUMS = SM80 + "column_sums.cuh"
EPILOGUE = SM80 + "epilogue.cuh"
STAGED_SUMS = SM80 + "staged_sums.cuh"
GEMM = SM80 + "gemm.cuh"
PLAN = SM80 + "plan.cpp"
TILES = SM80 + "tiles.h"
TILED = "csrc/kernels/tiled/"
STAGES = TILED + "stages.cuh"
OPERAND_COPY = TILED + "operand_copy.cuh"
MISALIGNED = TILED + "misaligned_chunk.cuh"
TILER = TILED + "tiler.cpp"
BYTE = "byte_ = unit_byte ^ Tile::permutation(line_);"

PIPELINE_FAULTS: dict[str, Fault] = {
    "sm80: the copies of a tile are not waited for": fault(
        "sm80 forward", STAGES, "ptx::cp_async_wait_group<Config::kStages - 2>();", ""
    ),
    "sm80: no barrier between filling and reading a stage": fault(
        "sm80 forward", STAGES, SYNC, "", 1
    ),
    "sm80: no barrier between the stages and the sums in their place": fault(
        "sm80 forward", STAGES, SYNC, "", 2
    ),
    "sm80: the stage that is read is refilled": fault(
        "sm80 forward", STAGES, "refill = Config::kStages - 1;", "refill = 0;"
    ),
    "sm80: no barrier between writing the sums and reading them": fault(
        "sm80 forward", GEMM, SYNC, "", 1
    ),
    "sm80: no barrier between the sums and the block's next tile": Fault(
        "sm80 forward", (Mutation(GEMM, SYNC, "", 2), ONE_BLOCK)
    ),
    "sm80: no barrier between the sums and the column sums in their place": fault(
        "sm80 backward", GEMM, SYNC, "", 2
    ),
    "sm80: the epilogue is not told where its tile is": fault(
        "sm80 forward", GEMM, "if (threadIdx.x == 0) smem.at = at;", ""
    ),
    "sm80: the epilogue is told where its tile is by the wrong thread": Fault(
        "sm80 forward",
        (
            Mutation(GEMM, "  if (threadIdx.x == 0) smem.at = at;\n", ""),
            Mutation(
                GEMM,
                "  __syncthreads();\n  tiled::visit_stored_type",
                "  __syncthreads();\n  if (threadIdx.x == 127) smem.at = at;\n"
                "  tiled::visit_stored_type",
            ),
        ),
    ),
}

COPY_FAULTS: dict[str, Fault] = {
    "sm80: threads without a chunk copy one": fault(
        "sm80 forward of few rows",
        OPERAND_COPY,
        "if (Chunks::kCount < kThreads && threadIdx.x >= Chunks::kCount) return;",
        "",
        1,
    ),
    "sm80: misaligned chunks are copied as if they were aligned": fault(
        "sm80 forward of odd elements", OPERAND_COPY, "!access_.is_aligned", "false"
    ),
    "sm80: misaligned chunks are taken where elements are strided": fault(
        "sm80 forward of 16-bit strides", TILER, "if (is_contiguous && element", "if (element"
    ),
    "sm80: all misaligned chunks of a thread are of its first line": fault(
        "sm80 forward of odd elements", OPERAND_COPY, "++c, line += line_step_", "++c"
    ),
    "sm80: a misaligned chunk is read past the end of its row": fault(
        "sm80 forward of odd elements",
        OPERAND_COPY,
        "min(elements_left(at, k_left), kChunkElems)",
        "kChunkElems",
    ),
    "sm80: a misaligned chunk is stored one row too far": fault(
        "sm80 forward of odd elements",
        OPERAND_COPY,
        "chunk[c].store(tile.at(at.row, at.k))",
        "chunk[c].store(tile.at(at.row + 1, at.k))",
    ),
    "sm80: odd elements are not moved": fault(
        "sm80 forward of odd elements", MISALIGNED, "shift_ = odd * 16", "shift_ = 0"
    ),
    "sm80: the element before an odd one is read": fault(
        "sm80 forward of odd elements", MISALIGNED, "first >= 0 && first < count", "first < count"
    ),
    "sm80: the element behind the last is read": fault(
        "sm80 forward of odd elements", MISALIGNED, "first + 1 < count", "first + 1 <= count"
    ),
    "sm80: an element alone in the second half of a pair is in the first": fault(
        "sm80 forward of odd elements",
        MISALIGNED,
        "(gmem + first + 1)} << 16",
        "(gmem + first + 1)}",
    ),
    "sm80: an element alone in the first half of a pair is its neighbour": fault(
        "sm80 forward of odd elements",
        MISALIGNED,
        "pair_[p] = ptx::ld_global_nc(gmem + first);",
        "pair_[p] = ptx::ld_global_nc(gmem + first - 1);",
    ),
    "sm80: what moves into a pair is its own": fault(
        "sm80 forward of odd elements", MISALIGNED, "{pair_[p + 1]} << 32", "{pair_[p]} << 32"
    ),
}

SWIZZLE_FAULTS: dict[str, Fault] = {
    "sm80: a tile that runs along k is read unpermuted": fault(
        "sm80 forward", FRAGMENT, BYTE, BYTE.replace("Tile", "Tile::kIsTransposed * Tile")
    ),
    "sm80: a tile that runs along rows is read unpermuted": fault(
        "sm80 forward", FRAGMENT, BYTE, BYTE.replace("Tile", "!Tile::kIsTransposed * Tile")
    ),
    "sm80: a tile of float32 that runs along rows is read unpermuted": fault(
        "sm80 forward of tf32", FRAGMENT, BYTE, BYTE.replace("Tile", "!Tile::kIsTransposed * Tile")
    ),
    "sm80: a tile is copied to where the next line's units go": fault(
        "sm80 forward", CONFIG, "^ permutation(line))", "^ permutation(line + 2))"
    ),
    "sm80: a line's bytes beyond the banks are read at its beginning": fault(
        "sm80 forward by large tiles", FRAGMENT, "byte / kPermuted * kPermuted +", ""
    ),
    "sm80: a line's float32 beyond the banks are read at its beginning": fault(
        "sm80 forward by large tiles of tf32", FRAGMENT, "byte / kPermuted * kPermuted +", ""
    ),
    "sm80: lines overlap": fault(
        "sm80 forward", CONFIG, "return line * kLineBytes +", "return line * (kLineBytes / 2) +"
    ),
}

FRAGMENT_FAULTS: dict[str, Fault] = {
    "sm80: quarters of A come in B's order": fault(
        "sm80 forward", FRAGMENT, "kSide == Side::kA ? Quarter", "kSide == Side::kB ? Quarter"
    ),
    "sm80: quarters of float32 come in the other operand's order": fault(
        "sm80 backward of tf32", FRAGMENT, "kSide == Side::kA ? Quarter", "true ? Quarter"
    ),
    "sm80: the second rows along k are the first": fault(
        "sm80 forward", FRAGMENT, "line_ = quarter.second_rows * 8 +", "line_ ="
    ),
    "sm80: the second terms along k are the first": fault(
        "sm80 forward", FRAGMENT, "unit_byte = quarter.second_terms * 16", "unit_byte = 0"
    ),
    "sm80: the second terms along rows are the first": fault(
        "sm80 forward", FRAGMENT, "line_ = quarter.second_terms * 8 +", "line_ ="
    ),
    "sm80: the second rows along rows are the first": fault(
        "sm80 forward", FRAGMENT, "unit_byte = quarter.second_rows * 16", "unit_byte = 0"
    ),
    "sm80: a lane's term of float32 is another's": fault(
        "sm80 forward of tf32", FRAGMENT, "line_ = lane % 4", "line_ = lane / 8"
    ),
    "sm80: a lane's row of float32 is another's": fault(
        "sm80 forward of tf32", FRAGMENT, "unit_byte = lane / 4 * 4", "unit_byte = lane % 8 * 4"
    ),
    "sm80: the second terms of float32 are the first": fault(
        "sm80 forward of tf32", FRAGMENT, "line + quarter.second_terms * 4", "line"
    ),
    "sm80: the second rows of float32 are the first": fault(
        "sm80 forward of tf32", FRAGMENT, "byte + quarter.second_rows * 32", "byte"
    ),
    "sm80: fragments along k all have the warp's first rows": fault(
        "sm80 forward", FRAGMENT, "first_row_ + i * 16 + line_", "first_row_ + line_"
    ),
    "sm80: fragments along rows all have the warp's first rows": fault(
        "sm80 forward", FRAGMENT, "(first_row_ + i * 16) * 2", "first_row_ * 2"
    ),
    "sm80: fragments of float32 all have the warp's first rows": fault(
        "sm80 forward of tf32", FRAGMENT, "(first_row_ + i * 16) * 4", "first_row_ * 4"
    ),
    "sm80: the second step along k is the first": fault(
        "sm80 forward", FRAGMENT, "step * Config::kStepBytes", "0"
    ),
    "sm80: the second step along rows is the first": fault(
        "sm80 forward", FRAGMENT, "step * 16 + line_", "line_"
    ),
    "sm80: the second step of float32 is the first": fault(
        "sm80 forward of tf32", FRAGMENT, "step * 8 + line_", "line_"
    ),
    "sm80: rows are taken for transposed ones": fault(
        "sm80 forward", FRAGMENT, "ptx::ldmatrix_x4_trans(", "ptx::ldmatrix_x4("
    ),
    "sm80: nothing is rounded to tfloat32": fault(
        "sm80 forward of tf32", FRAGMENT, "return ptx::cvt_rna_tf32(value);", "return bits;"
    ),
    "sm80: only A is rounded to tfloat32": fault(
        "sm80 forward of tf32",
        FRAGMENT,
        "    if constexpr (kIsTf32) {\n",
        "    if constexpr (kIsTf32 && kSide == Side::kA) {\n",
    ),
    "sm80: only B is rounded to tfloat32": fault(
        "sm80 backward of tf32",
        FRAGMENT,
        "    if constexpr (kIsTf32) {\n",
        "    if constexpr (kIsTf32 && kSide == Side::kB) {\n",
    ),
    "sm80: float16 is multiplied as bfloat16": fault(
        "sm80 forward", MAINLOOP, "ptx::mma_m16n8k16_f16(", "ptx::mma_m16n8k16_bf16("
    ),
    "sm80: bfloat16 is multiplied as float16": fault(
        "sm80 forward of bfloat16", MAINLOOP, "ptx::mma_m16n8k16_bf16(", "ptx::mma_m16n8k16_f16("
    ),
    "sm80: the second 8 columns are the first": fault(
        "sm80 forward", MAINLOOP, "{b[2], b[3]}", "{b[0], b[1]}"
    ),
    "sm80: the halves of B's terms change places": fault(
        "sm80 backward", MAINLOOP, "{b[0], b[1]}", "{b[1], b[0]}"
    ),
    "sm80: columns are read as if each product took 16": fault(
        "sm80 forward", MAINLOOP, "read(stage.b, j / 2,", "read(stage.b, j,"
    ),
    "sm80: a warp's rows begin where its columns do": fault(
        "sm80 forward", MAINLOOP, "reader_a_(warp.m)", "reader_a_(warp.n)"
    ),
    "sm80: a warp's columns begin where its rows do": fault(
        "sm80 forward", MAINLOOP, "reader_b_(warp.n)", "reader_b_(warp.m)"
    ),
}

PLACE_FAULTS: dict[str, Fault] = {
    "sm80: warps are as far apart in rows as in columns": fault(
        "sm80 forward by tall tiles", MAINLOOP, "* Config::kWarpM;", "* Config::kWarpN;"
    ),
    "sm80: warps are as far apart in columns as in rows": fault(
        "sm80 forward by tall tiles", MAINLOOP, "* Config::kWarpN;", "* Config::kWarpM;"
    ),
    "sm80: warps in a row are counted by its height": fault(
        "sm80 forward of few rows",
        CONFIG,
        "kWarpsN = kBlockN / kWarpN",
        "kWarpsN = kBlockM / kWarpM",
    ),
    "sm80: the products' tiles are exchanged": fault(
        "sm80 backward of few rows",
        CONFIG,
        "std::conditional_t<kSumsRows, ",
        "std::conditional_t<!kSumsRows, ",
    ),
    "sm80: grad-weight is cut as the other products are": fault(
        "sm80 backward of few rows", PLAN, "block_shape(tile.grad_weight,", "block_shape(tile.rows,"
    ),
    "sm80: the notes beside the stages have no room": fault(
        "sm80 forward", PLAN, "Shape::kPipelineBytes + kNotesBytes", "Shape::kPipelineBytes"
    ),
    "sm80: the stages have too little room": fault(
        "sm80 forward", PLAN, "Shape::kPipelineBytes +", "Shape::kPipelineBytes / 2 +"
    ),
    "sm80: a split begins inside a vector": fault(
        "sm80 split forward", PLAN, "kBlockKBytes / int(bytes_of(dtype))", "20"
    ),
}

EPILOGUE_FAULTS: dict[str, Fault] = {
    "sm80: the sums 8 rows below overwrite those above": fault(
        "sm80 forward", STAGED_SUMS, "at(row + 8, column)", "at(row, column)"
    ),
    "sm80: a lane's pair of columns overlaps the next": fault(
        "sm80 forward", STAGED_SUMS, "lane % 4 * 2", "lane % 4"
    ),
    "sm80: a lane's row of sums is another's": fault(
        "sm80 forward", STAGED_SUMS, "i * 16 + lane / 4", "i * 16 + lane % 8"
    ),
    "sm80: warps write their sums to the same rows": fault(
        "sm80 forward", STAGED_SUMS, "row = warp.m + i", "row = i"
    ),
    "sm80: warps write their sums to the same columns": fault(
        "sm80 forward", STAGED_SUMS, "column = warp.n + j", "column = j"
    ),
    "sm80: fragments of sums are as far apart as 16 columns": fault(
        "sm80 forward", STAGED_SUMS, "+ j * 8 +", "+ j * 16 +"
    ),
    "sm80: the halves of a unit of sums lie in one place": fault(
        "sm80 forward", STAGED_SUMS, "own_half * kHalf +", ""
    ),
    "sm80: units of sums lie in one place": fault(
        "sm80 forward", STAGED_SUMS, "own_unit = unit ^", "own_unit = 0 *"
    ),
    "sm80: sums are read a row too far": fault(
        "sm80 forward", EPILOGUE, "sums, row - row_, values", "sums, row - row_ + 1, values"
    ),
    "sm80: sums inside a unit change places": fault(
        "sm80 forward into vectors", STAGED_SUMS, "neighbours.sum[i]", "neighbours.sum[i ^ 1]"
    ),
    "sm80: both halves of a unit are the first": fault(
        "sm80 forward into vectors", STAGED_SUMS, "at(row, column + e)", "at(row, column)"
    ),
    "sm80: rows are written past the edge": fault(
        "sm80 forward", EPILOGUE, "row = row_; row < rows", "row = row_; row <= rows"
    ),
    "sm80: columns are written past the edge": fault(
        "sm80 forward", EPILOGUE, "if (column < columns_left_) visit", "visit"
    ),
    "sm80: a thread's columns are another's": fault(
        "sm80 forward",
        EPILOGUE,
        "threadIdx.x % kThreadsOfARow * kPiece),",
        "threadIdx.x / kThreadsOfARow * kPiece),",
    ),
    "sm80: a thread's pieces overlap the next thread's": fault(
        "sm80 forward into pairs",
        EPILOGUE,
        "kColumnsAtATime = kThreadsOfARow * kPiece",
        "kColumnsAtATime = kPiece",
    ),
    "sm80: pieces are wider than rows allow": fault(
        "sm80 forward into 8 bytes", EPILOGUE, "tiled.store_elems < kPiece", "false"
    ),
    "sm80: single outputs lie side by side": fault(
        "sm80 backward of windows", EPILOGUE, "kPiece > 1 ? 1 : stride", "1"
    ),
    "sm80: single outputs are added to what lies beside them": fault(
        "sm80 accumulation into strided rows",
        EPILOGUE,
        "kPiece > 1 ? 1 : tiled_.gemm.c.stride_n",
        "1",
    ),
    "sm80: rows are left out": fault(
        "sm80 forward", EPILOGUE, "row += kRowsAtATime", "row += 2 * kRowsAtATime"
    ),
    "sm80: all rows of a thread are stored as its first": fault(
        "sm80 forward", EPILOGUE, "      c += kRowsAtATime * gemm.c.stride_m;\n", ""
    ),
    "sm80: all rows of z are stored as the thread's first": fault(
        "sm80 forward", EPILOGUE, "          z += kRowsAtATime * gemm.z.stride_m;\n", ""
    ),
    "sm80: the bias is forgotten": fault("sm80 forward", EPILOGUE, "values[e] += bias[e];", ";"),
    "sm80: the bias is that of step 0": fault(
        "sm80 forward",
        EPILOGUE,
        "element_at<Scalar>(vector, at_.t,",
        "element_at<Scalar>(vector, 0,",
    ),
    "sm80: the bias of a piece is its first column's": fault(
        "sm80 forward into vectors", EPILOGUE, "gmem + e * vector.stride_n", "gmem"
    ),
    "sm80: the activation is forgotten": fault(
        "sm80 forward", EPILOGUE, "activate_all<Scalar>(gemm.activation, values);", ""
    ),
    "sm80: z is not written": fault("sm80 forward", EPILOGUE, "if (gemm.z.data) {", "if (false) {"),
    "sm80: z is written where y belongs": fault(
        "sm80 forward", EPILOGUE, "first_element_of(gemm.z) :", "first_element_of(gemm.c) :"
    ),
    "sm80: a part lies where the first does": fault(
        "sm80 split forward", EPILOGUE, " + at_.split * tiled_.part_elems", ""
    ),
}

COLUMN_SUM_FAULTS: dict[str, Fault] = {
    "sm80: the column sums' shares have the same rows": fault(
        "sm80 backward", COLUMN_SUMS, "b.at(column, k + share)", "b.at(column, k)"
    ),
    "sm80: the column sums' shares lie in one place": fault(
        "sm80 backward", COLUMN_SUMS, "share * Config::kBlockN + column + e", "column + e"
    ),
    "sm80: a unit's column sums are its first column's": fault(
        "sm80 backward", COLUMN_SUMS, "to_accum(unit.elem[e])", "to_accum(unit.elem[0])"
    ),
    "sm80: what float32 bias gradients round off is lost": fault(
        "sm80 long column sums", COLUMN_SUMS, "sizeof(Scalar) == 2, PlainSum", "true, PlainSum"
    ),
    "sm80: the column sums are not stored": fault(
        "sm80 backward", GEMM, "if (Config::kSumsRows && at.sums_columns) {", "if (false) {"
    ),
}

SM80_FAULTS = {
    **PIPELINE_FAULTS,
    **COPY_FAULTS,
    **SWIZZLE_FAULTS,
    **FRAGMENT_FAULTS,
    **PLACE_FAULTS,
    **EPILOGUE_FAULTS,
    **COLUMN_SUM_FAULTS,
}
