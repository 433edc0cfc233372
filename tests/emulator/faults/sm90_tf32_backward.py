"""Faults of the family `sm90` in the gradient of x in tfloat32, where it differs from other
products."""

from __future__ import annotations

from .common import Fault, fault

SM90 = "csrc/kernels/sm90/"
MAINLOOP, OUTPUTS = SM90 + "mainloop_shared.cuh", SM90 + "outputs_rows.cuh"
BOXES, PLAN, HOST = SM90 + "boxes.cpp", SM90 + "plan.cpp", SM90 + "sm90.cu"

DX, LARGE = "sm90 gradient of x in tf32", "sm90 gradient of x in tf32 by large tiles"
SPLIT = "sm90 split gradient of x in tf32"

ROUNDED = "boxes.a.dtype = boxes.b.dtype = problem.dtype;"

SM90_TF32_BACKWARD_FAULTS: dict[str, Fault] = {
    "sm90 tf32 backward: dz is cut instead of rounded": fault(
        DX, BOXES, ROUNDED, "boxes.b.dtype = problem.dtype;"
    ),
    "sm90 tf32 backward: the weight is cut instead of rounded": fault(
        DX, BOXES, ROUNDED, "boxes.a.dtype = problem.dtype;"
    ),
    "sm90 tf32 backward: a product has the terms of 16 bits": fault(
        DX, MAINLOOP, "kTermsOfWgmma = 32 / Config::kElementBytes", "kTermsOfWgmma = 16"
    ),
    "sm90 tf32 backward: floats are multiplied as bfloat16": fault(
        DX, MAINLOOP, "std::is_same_v<typename Config::Scalar, float>", "false"
    ),
    "sm90 tf32 backward: all consumers multiply the same rows": fault(
        LARGE, MAINLOOP, "first_row_(first_row<Config>(consumer))", "first_row_(0)"
    ),
    "sm90 tf32 backward: outputs are not swizzled": fault(
        DX, OUTPUTS, "thread_.row % 8 ^ thread_.column / k", "thread_.column / k"
    ),
    "sm90 tf32 backward: pairs lie closer": fault(
        DX, OUTPUTS, "pair % kPairsOfRow * 2 ^ own", "pair % kPairsOfRow ^ own"
    ),
    "sm90 tf32 backward: odd rows write another pair's sums": fault(
        DX, OUTPUTS, "(is_odd ? kOther * 2 : 0)", "0"
    ),
    "sm90 tf32 backward: odd rows write where another pair lies": fault(
        DX, OUTPUTS, "is_odd ? make_float2(other[0], other[1]) : ", ""
    ),
    "sm90 tf32 backward: a panel of outputs lies in the one before": fault(
        DX, OUTPUTS, "panel * 2 + pair / kPairsOfRow", "panel + pair / kPairsOfRow"
    ),
    "sm90 tf32 backward: columns beyond the first 64 are taken to be outside": fault(
        LARGE, OUTPUTS, "panel * kPanelColumns < params", "panel * 2 * kPanelColumns < params"
    ),
    "sm90 tf32 backward: parts of the second 64 columns lie closer": fault(
        SPLIT, OUTPUTS, "panel * kPanelColumns + thread_", "panel * kRowElems + thread_"
    ),
    "sm90 tf32 backward: blocks have the forward's shared memory": fault(
        LARGE, PLAN, "= backward_tile_info(choice.tile", "= tile_info(choice.tile"
    ),
    "sm90 tf32 backward: boxes of outputs are those of the forward": fault(
        LARGE, HOST, "return backward_tile_info(choice.tile", "return tile_info(choice.tile"
    ),
}
