#!/usr/bin/env python3
"""tools/kernel_report on an object that a false cuobjdump describes: counts, occupancy, loops, and a budget that is broken in
each of its ways. Needs no toolkit."""
import json
import pathlib
import subprocess
import sys
import tempfile

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools/kernel_report"
sys.path.insert(0, str(TOOL))
import budget as budgets  # noqa: E402
import cubins  # noqa: E402
import layer  # noqa: E402
from occupancy import machines, resident_warps  # noqa: E402

SYMBOL = "_ZN8coxswain12_GLOBAL__N_111norm_kernelINS_4bf16EEEvT_"  # coxswain::(anonymous namespace)::norm_kernel<bf16>
CODE = """
 /*0000*/ LDG.E.128 R4, [R2.64] ;
 /*0010*/ @!P1 BRA 0x50 ;
 /*0020*/ HMMA.16816.F32.BF16 R8, R4, R6, R8 ;
 /*0030*/ LDGSTS.E.BYPASS.128 [R1], [R2.64] ;
 /*0040*/ @P0 STL [R1], R2 ;
 /*0050*/ FFMA R1, R2, R3, R1 ;
 /*0060*/ STG.E.U16 [R2.64], R8 ;
 /*0070*/ @P0 BRA 0x0 ;
 /*0080*/ EXIT ;
"""
SAID = {
    "-res-usage": f"""Resource usage:
 Common:
  GLOBAL:0
 Function {SYMBOL}:
  REG:72 STACK:8 SHARED:1024 LOCAL:0 CONSTANT[0]:448 TEXTURE:0 SURFACE:0 SAMPLER:0
""",
    "-elf": f""".nv.info.{SYMBOL}
\tAttribute:\tEIATTR_MAX_THREADS
\tFormat:\tEIFMT_SVAL
\tValue:\t0x100 0x1 0x1
""",
    "-sass": f"\n\t\tFunction : {SYMBOL}\n{CODE}",
}


def kernels_of(folder):
    head = "Fatbin ptx code:\n=\narch = sm_80\n\nFatbin elf code:\n=\narch = sm_90a\n\n"
    said = {flag: head + text for flag, text in SAID.items()}
    false_tool = folder / "cuobjdump"
    false_tool.write_text(f"#!{sys.executable}\nimport sys\nprint({said!r}[sys.argv[1]])\n")
    false_tool.chmod(0o755)
    (folder / "norm.cu.o").write_text("")
    return cubins.read_build(folder, str(false_tool)), false_tool


def test_counts(kernel):
    assert (kernel.name, kernel.file, kernel.architecture) == ("norm_kernel<bf16>", "norm.cu", "sm_90a"), kernel.name
    assert (kernel.registers, kernel.stack, kernel.shared, kernel.threads) == (72, 8, 1024, 256)
    assert (kernel.tensor, kernel.asynchronous, kernel.spills, kernel.wide) == (1, 1, 1, 2)
    assert dict(kernel.global_moves) == {16: 1, 2: 1}
    (path,) = kernel.paths  # the shortest turn leaves out what the branch jumps over
    assert [m.split(".")[0] for m in path.mnemonics] == ["LDG", "BRA", "FFMA", "STG", "BRA"], path.mnemonics
    assert [m.split(".")[0] for m in kernel.products.mnemonics] == ["LDG", "BRA", "HMMA", "LDGSTS", "STL", "FFMA", "STG", "BRA"]


def test_occupancy():
    a100 = machines()["a100_80"].gpu
    # As NVIDIA's occupancy calculator says for compute capability 8.0.
    assert resident_warps(a100, 256, 32, 0) == (64, "threads")
    assert resident_warps(a100, 256, 33, 0) == (48, "registers")
    assert resident_warps(a100, 128, 255, 0) == (8, "registers")
    assert resident_warps(a100, 128, 32, 53760) == (12, "shared memory")
    assert resident_warps(a100, 32, 16, 0) == (32, "blocks")
    assert resident_warps(machines()["h100"].gpu, 128, 32, 53760) == (16, "shared memory")


def test_budget(kernel, folder):
    path = folder / "budget.json"
    layer.hot_patterns = lambda: ["norm_kernel<*"]
    refused = budgets.write(path, {"hot": {}}, [kernel])
    assert len(refused) == 1 and "local memory" in refused[0], refused
    kernel.spills = 0
    assert budgets.write(path, budgets.read(path), [kernel]) == []
    kept = budgets.read(path)
    assert kept["hot"]["norm_kernel<*"]["sm_90a"] == {"registers": 72, "tensor": 1, "async": 1, "wide": 2}, kept
    assert budgets.problems(kept, [kernel]) == []
    for field, value, word in (("registers", 73, "registers"), ("spills", 1, "local memory"), ("tensor", 0, "tensor"),
                               ("asynchronous", 0, "async"), ("wide", 1, "wide"), ("name", "other", "no such kernel"),
                               ("architecture", "sm_80", "no budget for this architecture")):
        right = getattr(kernel, field)
        setattr(kernel, field, value)
        found = budgets.problems(kept, [kernel])
        assert len(found) == 1 and word in found[0], (field, found)
        setattr(kernel, field, right)


def test_command(folder, false_tool):
    budget = folder / "by_command.json"

    def run(*words):
        ended = subprocess.run([sys.executable, "-B", str(TOOL), *map(str, words), "--budget", str(budget)], text=True,
                               capture_output=True)
        return ended.returncode, ended.stdout + ended.stderr

    limits = {"registers": 64, "tensor": 0, "async": 0, "wide": 0}
    budget.write_text(json.dumps({"hot": {"norm_kernel<bf16>": {"spills": 1, "sm_90a": limits}}}))
    code, text = run(folder, "--check", "--cuobjdump", false_tool)
    assert code == 1 and "72 registers, at most 64" in text, text
    code, text = run(folder, "--cuobjdump", false_tool)
    assert code == 0 and "| `norm_kernel<bf16>` | norm.cu | 72 | 8 | 1 |" in text and "H200" in text, text
    (folder / "empty").mkdir()
    code, text = run(folder / "empty", "--check")
    assert code == 4 and "skipped" in text and "preset `cuda`" in text, text
    code, text = run(folder, "--cuobjdump", folder / "none")
    assert code == 4 and "skipped: cuobjdump is not here" in text, text


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (kernel,), false_tool = kernels_of(folder)
        test_counts(kernel)
        test_occupancy()
        test_budget(kernel, folder)
        test_command(folder, false_tool)
    print("kernel_report: counts, occupancy, budget and command line are right")


main()
