"""One layer of GPT-3 175B on one of eight tensor ranks (one sequence of 2048 tokens, BF16): its operations, the kernels that
do them, and what each must compute and move at least. And the share of the roofline that the machine code allows.

The model, which is a prediction and no measurement. The floor of an operation is the larger of its products at the
tensor cores' peak and its operands, each once, at the memory's bandwidth. A kernel takes at least the largest of
  * the bytes that it moves, at the memory's bandwidth, or at what the loads in flight allow (Little: resident warps x
    32 lanes x bytes that a lane loads in one turn of the loop / latency of an idle memory);
  * its instructions: those of the shortest way through the loop that does the work (past all products, or the innermost
    one; where there is none, through the kernel, past all that it moves 16 bytes at a time), times turns, at four a cycle
    and multiprocessor;
  * its traffic with shared memory, at 128 bytes a cycle and multiprocessor;
  * its products: by HMMA at the peak times the machine's `mma_sync_share`, else by FFMA, which the line above counts.
Biases, GELU and its gradient are epilogues of cuBLASLt's products, which are none of our code and are taken at the floor.
Bank conflicts, barriers, latencies of dependent instructions, tails of grids and launches are left out: so a share here is
what the code can reach at most. It tells that a kernel cannot be fast; that it is, only a GPU can tell."""
import fnmatch
import re

import cubins
from occupancy import resident_warps

TOKENS, HIDDEN, RANKS = 2048, 12288, 8
ROWS = TOKENS // RANKS  # of the residual stream on a rank
HEADS, HEAD, QKV, INNER = 12, 128, 3 * HIDDEN // RANKS, 4 * HIDDEN // RANKS
PRODUCT = 2.0 * HEADS * HEAD * TOKENS * TOKENS / 2  # FLOP of one product of causal attention
WEIGHTS = 12 * HIDDEN * HIDDEN // RANKS
DATA_RANKS = 8
FMA = re.compile(r"^FFMA$")
SHARED_BYTES = 128  # that a multiprocessor's shared memory moves a cycle
HMMA_FLOPS, FFMA_FLOPS = 2 * 16 * 8 * 16, 2 * 32


class Work:
    """Of one kernel in an operation: elements, bytes that it loads and stores for each, or FLOP."""

    def __init__(self, pattern, elements=0, loads=0, stores=0, flops=0.0, calls=1):
        self.pattern, self.elements, self.loads, self.stores = pattern, elements, loads, stores
        self.flops, self.calls = flops, calls


class Operation:
    def __init__(self, name, part, flops, bytes_, kernels=(), library=0.0):
        self.name, self.part, self.flops, self.bytes, self.kernels = name, part, flops, bytes_, kernels
        self.library = library  # FLOP that cuBLASLt does

    def floor(self, machine):
        return max(self.flops / machine.bf16_flops, self.bytes / machine.memory_bytes_per_second)


def product(name, part, m, n, k, accumulates=False, more=0):
    flops = 2.0 * m * n * k
    moved = 2 * (m * k + n * k) + (8 if accumulates else 2) * m * n + more
    return Operation(name, part, flops, moved, library=flops)


def column_sums(pattern, rows, columns, loads):
    return (Work(f"column_sums_kernel<8, {pattern}>", rows * columns, loads, 0),)


def operations():
    stream, activations = ROWS * HIDDEN, TOKENS * HIDDEN
    attention = 2 * TOKENS * HEADS * HEAD
    norm, alone = (Work("residual_norm_kernel<bf16, 256, 6, true>", stream, size, size) for size in (4, 2))
    backward = Work("norm_gradient_kernel<bf16, 256, 6, true>", stream, 6, 2)
    gradients = column_sums("NormSums<bf16, 2>", ROWS, HIDDEN, 4)
    return [
        Operation("norm 1, norm 2 with residual", "forward", 0, 12 * stream, (alone, norm)),
        product("qkv", "forward", TOKENS, QKV, HIDDEN),
        Operation("attention", "forward", 2 * PRODUCT, 4 * attention,
                  (Work("flash_attention_kernel<128, 64>", flops=2 * PRODUCT),)),
        product("projection", "forward", TOKENS, HIDDEN, HIDDEN // RANKS),
        product("up, gelu", "forward", TOKENS, INNER, HIDDEN, more=2 * TOKENS * INNER),
        product("down", "forward", TOKENS, HIDDEN, INNER),
        Operation("residual", "forward", 0, 6 * stream, (Work("strips_kernel<8, ResidualElement<bf16>>", stream, 4, 2),)),
        product("down, dx and gelu'", "backward", TOKENS, INNER, HIDDEN, more=2 * TOKENS * INNER),
        product("down, dw", "backward", HIDDEN, INNER, TOKENS, accumulates=True),
        product("up, dx", "backward", TOKENS, HIDDEN, INNER),
        product("up, dw", "backward", INNER, HIDDEN, TOKENS, accumulates=True),
        product("projection, dx", "backward", TOKENS, HIDDEN // RANKS, HIDDEN),
        product("projection, dw", "backward", HIDDEN, HIDDEN // RANKS, TOKENS, accumulates=True),
        Operation("attention", "backward", 5 * PRODUCT, 8 * attention,
                  (Work("flash_delta_kernel", TOKENS * HEADS * HEAD, 4, 0),
                   Work("flash_key_gradient_kernel<128, 0>", flops=4 * PRODUCT),
                   Work("flash_query_gradient_kernel<128>", flops=3 * PRODUCT))),
        product("qkv, dx", "backward", TOKENS, HIDDEN, QKV),
        product("qkv, dw", "backward", QKV, HIDDEN, TOKENS, accumulates=True),
        Operation("biases", "backward", 0, 2 * (2 * stream + TOKENS * (INNER + QKV)),
                  column_sums("BiasGradient<bf16>", ROWS, HIDDEN, 2) * 2 + column_sums("BiasGradient<bf16>", TOKENS, INNER, 2) +
                  column_sums("BiasGradient<bf16>", TOKENS, QKV, 2)),
        Operation("norms", "backward", 0, 2 * 8 * stream, gradients * 2 + (backward, backward)),
        Operation("AdamW (a data rank's eighth)", "optimizer", 0, 30 * WEIGHTS // DATA_RANKS,
                  (Work("strips_kernel<8, AdamWElement>", WEIGHTS // DATA_RANKS, 16, 14),)),
    ]


def hot_patterns():
    """The layer's kernels, attention with other head sizes, those before and behind the layers, and decoding's."""
    layer = [work.pattern for operation in operations() for work in operation.kernels]
    for size in (64, 80, 96, 256):
        layer += [f"flash_attention_kernel<{size}, *>", f"flash_key_gradient_kernel<{size}, *>",
                  f"flash_query_gradient_kernel<{size}>"]
    shorter = [f"{norm}_kernel<bf16, {threads}, 3, true>"
               for norm in ("residual_norm", "norm_gradient") for threads in (32, 128)]
    ends = ["cross_entropy_stats_kernel<bf16, true>", "cross_entropy_gradient_kernel<bf16, true>",
            "strips_kernel<8, EmbeddingElement<bf16, bf16>>", "strips_kernel<8, EmbeddingGradient<bf16>>",
            "strips_kernel<8, CopyRows<bf16, bf16>>", "product_sums_kernel<float, true>"]
    decoding = ["cached_attention_kernel<bf16>", "join_chunks_kernel<bf16>"]
    products = [f"row_linear_kernel<TileShape<*, {columns}, *, true>>" for columns in (1, 2, 4, 8)]
    products += ["row_linear_tall_kernel"] + [f"row_sums_kernel<float, {rows}, true>" for rows in (1, 8)]
    return sorted(set(layer)) + shorter + ends + decoding + products


def main_path(kernel, work):
    """The loop that does most of the work in a turn."""
    if work.flops and kernel.tensor:
        return kernel.products

    def weight(path):
        if work.flops:
            return path.count(cubins.TENSOR) or path.count(FMA)
        return path.moved(cubins.GLOBAL_LOADS + cubins.GLOBAL_STORES, cubins.width)
    best = max(kernel.paths, key=weight, default=None)
    if best and weight(best) > 0:
        return best
    return kernel.straight if not work.flops and kernel.straight and weight(kernel.straight) > 0 else None


def seconds(kernel, work, machine, dynamic_shared):
    """(seconds at least, what binds), or None where the code has no loop to judge by."""
    path = main_path(kernel, work)
    if path is None:
        return None
    issue = 4.0 * machine.sms * machine.clock_hz
    if work.flops:
        tensor = path.count(cubins.TENSOR)
        turns = work.flops / (tensor * HMMA_FLOPS if tensor else path.count(FMA) * FFMA_FLOPS)
        shared = turns * sum(cubins.shared_bytes(m) for m in path.mnemonics)
        bounds = {"instructions": turns * path.instructions / issue,
                  "shared memory": shared / (SHARED_BYTES * machine.sms * machine.clock_hz)}
        if tensor:
            bounds["tensor cores"] = work.flops / (machine.bf16_flops * machine.mma_sync_share)
    else:
        moved = work.elements * (work.loads + work.stores)
        warps, _ = resident_warps(machine.gpu, kernel.threads or 256, kernel.registers, kernel.shared + dynamic_shared)
        loaded = path.moved(cubins.GLOBAL_LOADS, cubins.width)
        stored = path.moved(cubins.GLOBAL_STORES, cubins.width)
        # Of what is loaded some are parameters, in whichever of two types: what is stored says how many elements there are.
        each_turn = max(stored / work.stores if work.stores and stored else loaded / max(work.loads, 1), 1)
        in_flight = machine.sms * warps * 32 * max(min(loaded, each_turn * work.loads), work.loads)
        latency = machine.memory_latency_cycles / machine.clock_hz
        bounds = {"memory": moved / machine.memory_bytes_per_second,
                  "loads in flight": work.elements * work.loads / (in_flight / latency),
                  "instructions": work.elements / 32 / each_turn * path.instructions / issue}
    binding = max(bounds, key=bounds.get)
    return bounds[binding] * work.calls, binding


def predict(kernels, machine, dynamic_shared):
    """Rows (operation, floor, seconds or None, text) of the layer on a machine; kernels: by name, of its architecture."""
    rows = []
    for operation in operations():
        floor, notes = operation.floor(machine), []
        spent = operation.library / machine.bf16_flops
        if not operation.kernels:
            spent = floor
        for work in operation.kernels:
            kernel = next((k for name, k in kernels.items() if fnmatch.fnmatchcase(name, work.pattern)), None)
            taken = seconds(kernel, work, machine, dynamic_shared.get(kernel.name, 0)) if kernel else None
            if taken is None:
                spent = None
                notes.append(f"{work.pattern}: no loop to judge by" if kernel else f"{work.pattern} is not in this build")
                break
            spent += taken[0]
            notes.append(taken[1])
        rows.append((operation, floor, spent, ", ".join(dict.fromkeys(notes)) or "cuBLASLt"))
    return rows
