"""Does the check of the kernels' machine code notice what it is there for?

The check itself is test_cuda_build.py's, which needs a CUDA build.
"""

from __future__ import annotations

import pytest
import torch
from machine_code import (
    MMA,
    faults_of_tensor_core_kernel,
    faults_of_wgmma_kernel,
    opcodes_of,
)

# As cuobjdump writes it, with nothing but what the check asks for.
LISTING = """
Fatbin elf code:
================
arch = sm_80
code version = [1,8]

	code for sm_80
		Function : forward_kernel
	.headerflags	@"EF_CUDA_SM80 EF_CUDA_VIRTUAL_SM(EF_CUDA_SM80)"
        /*0000*/                   MOV R1, c[0x0][0x28] ;                   /* 0x00000a0000017a02 */
                                                                            /* 0x000fe40000000f00 */
        /*4670*/                   LDGSTS.E.BYPASS.128.ZFILL [R31], [R28.64], P0 ;     /* 0x0000 */
        /*4b60*/              @!P0 LDGSTS.E.64.ZFILL [R31], [R28.64], P0 ;             /* 0x0000 */
        /*5000*/                   LDSM.16.M88.4 R8, [R8] ;                 /* 0x000000000808783b */
        /*5010*/                   LDSM.16.MT88.4 R4, [R4+0x80] ;           /* 0x000080000404783b */
        /*5020*/                   HMMA.16816.F32 R20, R8, R4, R20 ;        /* 0x000000040814723c */
        /*6000*/               @P1 STG.E.128 [R2.64], R12 ;                 /* 0x0000000c02007986 */
		.......

Fatbin elf code:
================
arch = sm_90a
		Function : another_kernel
        /*0000*/                   EXIT ;                                   /* 0x000000000000794d */
"""


def faults(listing: str, dtype: torch.dtype = torch.float16) -> list[str]:
    return faults_of_tensor_core_kernel(
        opcodes_of(listing.splitlines())["80"]["forward_kernel"], dtype
    )


def test_listing_is_read_by_architecture_and_kernel() -> None:
    found = opcodes_of(LISTING.splitlines())
    assert {arch: list(kernels) for arch, kernels in found.items()} == {
        "80": ["forward_kernel"],
        "90a": ["another_kernel"],
    }
    assert found["90a"]["another_kernel"] == {"EXIT": 1}
    assert found["80"]["forward_kernel"] == dict.fromkeys(
        (
            *("MOV", "LDGSTS.E.BYPASS.128.ZFILL", "LDGSTS.E.64.ZFILL", "LDSM.16.M88.4"),
            *("LDSM.16.MT88.4", "HMMA.16816.F32", "STG.E.128"),
        ),
        1,
    )


@pytest.mark.parametrize("dtype", MMA, ids=str)
def test_kernel_with_all_there_must_be_has_no_fault(dtype: torch.dtype) -> None:
    assert faults(LISTING.replace("HMMA.16816.F32", MMA[dtype]), dtype) == []


def test_tfloat32_is_not_transposed_by_ldmatrix() -> None:
    listing = LISTING.replace("HMMA.16816.F32", MMA[torch.float32]).replace("LDSM.16.MT88.4", "LDS")
    assert faults(listing, torch.float32) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("HMMA.16816.F32", "FFMA", ["no HMMA.16816.F32 (products by tensor cores)"]),
        (
            "HMMA.16816.F32",
            "HMMA.16816.F32.BF16",
            [
                "no HMMA.16816.F32 (products by tensor cores)",
                "HMMA.16816.F32.BF16 has no place there",
            ],
        ),
        ("LDSM.16.M88.4", "LDS.128", ["no LDSM.16.M88.4 (fragments by whole matrices)"]),
        (
            "LDSM.16.MT88.4",
            "LDS.U16",
            ["no LDSM.16.MT88.4 (fragments by whole matrices, transposed)"],
        ),
        (
            "LDGSTS.E.BYPASS.128",
            "LDGSTS.E.128",
            ["no LDGSTS.E.BYPASS.128 (copies of 16 bytes around L1)"],
        ),
        ("STG.E.128", "STG.E.64", ["no STG.E.128 (stores of 16 bytes)"]),
        ("MOV R1", "LDL.64 R1", ["LDL.64 has no place there"]),
        ("MOV R1", "STL R1", ["STL has no place there"]),
    ],
)
def test_fault_in_the_machine_code_is_noticed(old: str, new: str, fault: list[str]) -> None:
    assert old in LISTING
    assert faults(LISTING.replace(old, new)) == fault


# The same of Hopper's.
HOPPERS = """
arch = sm_90a
		Function : gemm_kernel
        /*0010*/                   USETMAXREG.DEALLOC.CTAPOOL 0x28 ;               /* 0x0000 */
        /*0020*/                   USETMAXREG.TRY_ALLOC.CTAPOOL UP0, 0xe8 ;        /* 0x0000 */
        /*0030*/                   SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [UR12], R2 ; /* 0x0000 */
        /*0040*/                   UTMALDG.3D [UR8], [UR4], desc[UR10] ;           /* 0x0000 */
        /*0050*/                   UTMALDG.3D.MULTICAST [UR8], [UR4], UR9 ;        /* 0x0000 */
        /*0060*/                   WARPGROUP.ARRIVE ;                              /* 0x0000 */
        /*0070*/                   HGMMA.64x256x16.F32.BF16 R24, gdesc[UR12], R24 ; /* 0x0000 */
        /*0080*/                   WARPGROUP.DEPBAR.LE gsb0, 0x1 ;                 /* 0x0000 */
        /*0090*/                   WARPGROUP.DEPBAR.LE gsb0, 0x0 ;                 /* 0x0000 */
        /*00a0*/                   UTMASTG.3D [UR4], [UR8] ;                       /* 0x0000 */
"""


def faults_of_hoppers(
    listing: str,
    dtype: torch.dtype = torch.bfloat16,
    consumers: int = 2,
    cluster: int = 2,
    is_backward: bool = False,
) -> list[str]:
    opcodes = opcodes_of(listing.splitlines())["90a"]["gemm_kernel"]
    return faults_of_wgmma_kernel(
        opcodes, dtype, 256, consumers=consumers, cluster=cluster, is_backward=is_backward
    )


def test_hoppers_kernel_with_all_there_must_be_has_no_fault() -> None:
    assert faults_of_hoppers(HOPPERS) == []
    assert faults_of_hoppers(HOPPERS.replace("F32.BF16", "F32"), torch.float16) == []
    once, tf32 = "WARPGROUP.ARRIVE ;", HOPPERS.replace("x16.F32.BF16", "x8.F32.TF32")
    batch = "\n".join((once, f"        /*0061*/ {once}", "        /*0062*/ WARPGROUP.DEPBAR.LE ;"))
    assert faults_of_hoppers(tf32.replace(once, batch), torch.float32) == []
    assert len(faults_of_hoppers(tf32, torch.float32)) == 2
    alone = HOPPERS.replace("USETMAXREG", "NOP").replace("UTMALDG.3D.MULTICAST", "NOP")
    assert faults_of_hoppers(alone, consumers=1, cluster=1) == []


def test_hoppers_backward_has_a_loop_for_each_product_and_sums_columns() -> None:
    loop = [line for line in HOPPERS.splitlines() if "WARPGROUP" in line]
    twice = "\n".join([HOPPERS.rstrip(), *loop])
    sums = "        /*00c0*/                   LDS.128 R4, [R8] ;                         /* 0x0 */"
    assert faults_of_hoppers(f"{twice}\n{sums}", is_backward=True) == []
    assert faults_of_hoppers(twice, is_backward=True) == [
        "no LDS.128 (column sums by whole chunks)"
    ]
    assert faults_of_hoppers(f"{HOPPERS}{sums}", is_backward=True) == [
        "1 WARPGROUP.ARRIVE, not 2 (products one by one)",
        "2 WARPGROUP.DEPBAR.LE, not 4 (products one by one)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("HGMMA.64x256x16.F32.BF16", "FFMA", ["no HGMMA.64x256x16.F32.BF16 (products by a warpgr"]),
        (
            "HGMMA.64x256x16.F32.BF16",
            "HGMMA.64x256x16.F32",
            ["no HGMMA.64x256x16.F32.BF16 (pr", "HGMMA.64x256x16.F32 has no place there"],
        ),
        (
            "HGMMA.64x256x16.F32.BF16",
            "HGMMA.64x128x16.F32.BF16",
            ["no HGMMA.64x256x16.F32.BF16 (pr", "HGMMA.64x128x16.F32.BF16 has no place there"],
        ),
        ("UTMALDG.3D.MULTICAST", "UTMALDG.3D", ["no UTMALDG.3D.MULTICAST (fetches for the whole"]),
        ("UTMASTG.3D", "STG.E.128", ["no UTMASTG.3D (stores by TMA)"]),
        ("USETMAXREG.DEALLOC", "NOP", ["no USETMAXREG.DEALLOC (registers given away)"]),
        ("USETMAXREG.TRY_ALLOC", "NOP", ["no USETMAXREG.TRY_ALLOC (registers taken over)"]),
        ("SYNCS.PHASECHK", "NOP", ["no SYNCS.PHASECHK.TRANS64.TRYWAIT (waits at mbarriers)"]),
        ("UTMASTG.3D [", "STL [R1],", ["no UTMASTG.3D (stores by TMA)", "STL has no place there"]),
        ("WARPGROUP.ARRIVE", "NOP", ["0 WARPGROUP.ARRIVE, not 1 (products one by one)"]),
        (
            "UTMASTG.3D [UR4], [UR8] ;",
            "UTMASTG.3D ;\n        /*00b0*/    WARPGROUP.DEPBAR.LE gsb0, 0x0 ;",
            ["3 WARPGROUP.DEPBAR.LE, not 2 (products one by one)"],
        ),
    ],
)
def test_fault_in_hoppers_machine_code_is_noticed(old: str, new: str, fault: list[str]) -> None:
    assert old in HOPPERS
    found = faults_of_hoppers(HOPPERS.replace(old, new))
    assert len(found) == len(fault)
    assert all(own.startswith(text) for own, text in zip(found, fault, strict=True))
