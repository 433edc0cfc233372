"""Faults in the family `tiny`."""

from __future__ import annotations

from .common import SYNC, Fault, fault

TINY = "csrc/kernels/tiny/"
MAINLOOP = TINY + "mainloop.cuh"
FRAGMENT = TINY + "fragment.cuh"
PLACE = TINY + "place.cuh"
SUMS = TINY + "sums.cuh"
JOIN = TINY + "join_slices.cuh"
EPILOGUE = TINY + "epilogue.cuh"
VECTOR = TINY + "vector.cuh"
KERNEL = TINY + "kernel.cuh"
WORK = TINY + "work.cpp"


LOOP_FAULTS: dict[str, Fault] = {
    "tiny: the terms behind the last whole chunk are left out": fault(
        "tiny forward of vectors", MAINLOOP, "if (kChunk > 1 && left > 0)", "if (false)"
    ),
    "tiny: the last chunk is read whole": fault(
        "tiny forward of vectors", MAINLOOP, "while (left >= kChunk)", "while (left > 0)"
    ),
    "tiny: a does not advance": fault(
        "tiny forward", MAINLOOP, "gmem_a += step * operand_a.stride_k;", ""
    ),
    "tiny: b advances by a's stride": fault(
        "tiny forward",
        MAINLOOP,
        "gmem_b += step * operand_b.stride_k",
        "gmem_b += step * operand_a.stride_k",
    ),
    "tiny: what is left does not shrink by whole rounds": fault(
        "tiny warps", MAINLOOP, "left -= chunks * step;", "left -= chunks * kChunk;"
    ),
    "tiny: slices begin at the same chunk": fault(
        "tiny warps", MAINLOOP, "+ place.slice * kChunk;", ";", 1
    ),
    "tiny: a slice does not know how few terms it has": fault(
        "tiny warps", MAINLOOP, "- place.slice * kChunk;", ";"
    ),
    "tiny: slices step by one chunk": fault(
        "tiny lanes", MAINLOOP, "kChunk << log2_slices", "kChunk"
    ),
    "tiny: a split begins at the first term": fault(
        "tiny split forward",
        PLACE,
        "place.first_k = place.split * item.terms;",
        "place.first_k = 0;",
    ),
    "tiny: a split adds up all that is left": fault(
        "tiny split forward",
        PLACE,
        "min(item.k - place.first_k, item.terms)",
        "item.k - place.first_k",
    ),
    "tiny: the column sums leave out whole chunks": fault(
        "tiny backward", MAINLOOP, "if constexpr (kSumsColumns) sums.add_columns(b);", "", 1
    ),
    "tiny: the column sums leave out the last terms": fault(
        "tiny backward of vectors",
        MAINLOOP,
        "if constexpr (kSumsColumns) sums.add_columns(b);",
        "",
        2,
    ),
    "tiny: long sums are not folded": fault(
        "tiny long sums", MAINLOOP, "+ 1, kChunksPerFold)", "+ 1, 1 << 30)"
    ),
    "tiny: the last terms are not folded in": fault(
        "tiny forward of vectors", MAINLOOP, "    sums.fold();\n  }\n}", "  }\n}"
    ),
    "tiny: the strides of the step are those of the row": fault(
        "tiny forward", MAINLOOP, "t * operand.stride_t", "t * operand.stride_row"
    ),
    "tiny: products of neighbouring rows": fault(
        "tiny forward", SUMS, "to_accum(a.at(row, k))", "to_accum(a.at(row ^ 1, k))"
    ),
    "tiny: rows beyond the last are read": fault(
        "tiny forward of vectors",
        FRAGMENT,
        "min(line, rows - 1) * operand.stride_row",
        "line * operand.stride_row",
    ),
    "tiny: elements of rows beyond the last are read": fault(
        "tiny forward of elements",
        FRAGMENT,
        "min(row, rows - 1) * operand.stride_row",
        "row * operand.stride_row",
    ),
    "tiny: terms beyond the last are read": fault(
        "tiny forward of vectors", FRAGMENT, "k < terms ?", "k <= terms ?"
    ),
    "tiny: a fragment along rows is read along k": fault(
        "tiny backward of vectors",
        FRAGMENT,
        "return kAlongRows ? line_[k][row]",
        "return kAlongRows ? line_[row % kLines][k % kElems]",
    ),
    "tiny: a vector's second half is its first": fault(
        "tiny backward of vectors",
        VECTOR,
        "elems[i + j] = pack.elem[j];",
        "elems[i + j] = pack.elem[j / 2];",
    ),
}

PLACE_FAULTS: dict[str, Fault] = {
    "tiny: units beyond the last are not clamped": fault(
        "tiny backward by warps", PLACE, "unit = min(unit, units - 1);", ""
    ),
    "tiny: threads beyond the last unit store": fault(
        "tiny forward", PLACE, "place.is_inside = unit < units;", "place.is_inside = true;"
    ),
    "tiny: the rows of a group are another's": fault(
        "tiny forward", PLACE, "static_cast<int>(row_group) * kRows", "static_cast<int>(row_group)"
    ),
    "tiny: the columns are counted from the first step's": fault(
        "tiny forward", PLACE, " - t * item.column_groups_a_step.divisor", ""
    ),
    "tiny: the split's blocks are counted from the first's": fault(
        "tiny split forward", PLACE, "block - place.split * item.blocks_a_split.divisor", "block"
    ),
    "tiny: the slices of lanes are taken for warps'": fault(
        "tiny lanes",
        PLACE,
        "unit = item.slices_are_lanes ? thread >> item.log2_slices : thread",
        "unit = thread",
    ),
    "tiny: division rounds down too often": fault(
        "tiny forward", WORK, "shift) + divisor - 1) / divisor", "shift) - divisor) / divisor"
    ),
    "tiny: an item's blocks are counted from the first item's": fault(
        "tiny backward", KERNEL, "(list.item[item], block)", "(list.item[item], blockIdx.x)"
    ),
}

JOIN_FAULTS: dict[str, Fault] = {
    "tiny: no barrier between the slices' sums and their join": fault(
        "tiny warps", JOIN, SYNC, "", 1
    ),
    "tiny: lanes join only their halves": fault(
        "tiny lanes", JOIN, "distance = slices / 2", "distance = slices / 4"
    ),
    "tiny: the last distance is left out": fault(
        "tiny lanes", JOIN, "distance > 0;", "distance > 1;"
    ),
    "tiny: the column sums of lanes or warps are not joined": fault(
        "tiny backward by warps",
        JOIN,
        "if (own_slice == 0) totals.column[j] =",
        "if (own_slice < 0) totals.column[j] =",
    ),
    "tiny: a slice is left out": fault(
        "tiny warps", JOIN, "int slice = 1; slice < slices", "int slice = 2; slice < slices"
    ),
    "tiny: a slice's sums lie where another's do": fault(
        "tiny warps", JOIN, "own[slice * units]", "own[slice]"
    ),
    "tiny: too little shared memory is asked for": fault(
        "tiny warps", WORK, "tile_.threads * (kRows + 1) *", "tile_.threads * kRows *"
    ),
    "tiny: more shared memory is used than asked for": fault(
        "tiny warps",
        JOIN,
        "smem.product[row][j][threadIdx.x] =",
        "smem.product[row + 1][j][threadIdx.x] =",
    ),
}

STORE_FAULTS: dict[str, Fault] = {
    "tiny: rows are written past the edge": fault(
        "tiny forward", EPILOGUE, "place.m + row < place.m_end", "place.m + row <= place.m_end"
    ),
    "tiny: columns are written past the edge": fault(
        "tiny forward of elements", EPILOGUE, "if (j < columns)", "if (j <= columns)"
    ),
    "tiny: whole vectors are stored past the edge": fault(
        "tiny into padded rows", EPILOGUE, "columns >= kColumns", "columns > 0"
    ),
    "tiny: every slice stores every row": fault(
        "tiny warps", EPILOGUE, "(row & (slices - 1)) == place.slice", "true", 2
    ),
    "tiny: the rows do not move up": fault(
        "tiny forward", EPILOGUE, "totals.product[next - 1][j] = totals.product[next][j];", ";"
    ),
    "tiny: the bias is that of step 0": fault(
        "tiny forward", EPILOGUE, "element_at<Scalar>(bias, place.t,", "element_at<Scalar>(bias, 0,"
    ),
    "tiny: the bias is read past the edge": fault(
        "tiny forward of elements", EPILOGUE, "bias.data && place.n + j < item.n", "bias.data"
    ),
    "tiny: z is not written before the activation": fault(
        "tiny forward", EPILOGUE, "if (gemm.z.data)", "if (false)"
    ),
    "tiny: the activation is forgotten": fault(
        "tiny forward", EPILOGUE, "activate_all<Scalar>(gemm.activation, values);", ""
    ),
    "tiny: a part lies where the first does": fault(
        "tiny split forward", EPILOGUE, "place.split * item.part_elems", "0"
    ),
    "tiny: a part of the column sums lies where the first does": fault(
        "tiny split backward", EPILOGUE, "+ place.split * item.column_sum_part_elems", ""
    ),
    "tiny: every group of rows writes the column sums": fault(
        "tiny backward",
        EPILOGUE,
        "item.gemm.column_sums.data && place.m == 0",
        "item.gemm.column_sums.data",
    ),
    "tiny: column sums are written past the edge": fault(
        "tiny backward of elements", EPILOGUE, "if (n >= item.n) break;", ""
    ),
    "tiny: vectors are chosen without a look at the address": fault(
        "tiny misaligned forward",
        WORK,
        "reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(bytes) == 0 &&",
        "",
    ),
    "tiny: vectors are chosen without a look at the strides": fault(
        "tiny forward of odd steps",
        WORK,
        "other.extent <= 1 || other.stride * element_bytes % bytes == 0",
        "true",
    ),
    "tiny: vectors are chosen where elements are not contiguous": fault(
        "tiny forward of strides", WORK, "return along == 1 &&", "return along >= 1 &&"
    ),
    "tiny: vectors reach past the last column": fault(
        "tiny forward of ragged vectors", WORK, "rows % elems == 0", "true"
    ),
    "tiny: the bias gradient is lost with the transposition": fault(
        "tiny backward of one column", WORK, "if (gemm.column_sums.data) add(", "if (false) add("
    ),
    "tiny: the transposed gradient is stored as it was": fault(
        "tiny backward of two columns", WORK, "std::swap(gemm.c.stride_m, gemm.c.stride_n);", ""
    ),
}

TINY_FAULTS = {**LOOP_FAULTS, **PLACE_FAULTS, **JOIN_FAULTS, **STORE_FAULTS}
