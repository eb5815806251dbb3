"""Speed of PyTorch and of Coxswain on the GPT-2 124M shape, on the same GPU (or processor), in turns: a training step (forward,
backward, clipping, fused AdamW; bf16 is autocast over FP32 weights there) and generation by transformers.

  pip install torch transformers
  python3 tools/peers/pytorch_speed.py PROGRAM [--device cuda|cpu] [--dtype bf16|fp32] [--rounds 3] [--sequences 8]
                                       [--length 1024] [--slots 1,8,32] [--compile]

Prints tokens/s of both and their ratio, medians of the rounds."""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel

INPUTS = pathlib.Path(__file__).resolve().parents[2] / "inputs/benchmark"
STEPS, PROMPT, NEW = 8, 64, 128


def of_coxswain(arguments, deck, keys):
    """tokens/s, the median of a run's steps."""
    with tempfile.TemporaryDirectory() as folder:
        keys = keys | {"device.kind": arguments.device, "model.precision": arguments.dtype, "run.directory": f"{folder}/run"}
        subprocess.run([arguments.program, INPUTS / deck] + [f"--{key}={value}" for key, value in keys.items()], check=True,
                       stdout=subprocess.DEVNULL)
        lines = pathlib.Path(folder, "run/timing.jsonl").read_text().splitlines()
    return statistics.median(json.loads(line)["tokens_per_second"] for line in lines)


def seconds_of(arguments, work):
    if arguments.device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if arguments.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def make_model(arguments, dtype):
    torch.manual_seed(0)
    config = GPT2Config(n_positions=max(arguments.length, PROMPT + NEW), attn_pdrop=0, embd_pdrop=0, resid_pdrop=0)
    with torch.device(arguments.device):
        return GPT2LMHeadModel._from_config(config, attn_implementation="sdpa", dtype=dtype)


def train(arguments):
    """A function that trains some steps and returns the median's tokens/s."""
    model = make_model(arguments, torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    forward = torch.compile(model) if arguments.compile else model
    tokens = torch.randint(0, 50257, (arguments.sequences, arguments.length), device=arguments.device)

    def step():
        with torch.autocast(arguments.device, dtype=torch.bfloat16, enabled=arguments.dtype == "bf16"):
            loss = forward(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()
    return lambda: tokens.numel() / statistics.median(seconds_of(arguments, step) for _ in range(STEPS))


def generate(arguments, slots):
    model = make_model(arguments, torch.bfloat16 if arguments.dtype == "bf16" else torch.float32).eval()
    prompt = torch.randint(0, 50257, (slots, PROMPT), device=arguments.device)

    @torch.no_grad()
    def respond():
        model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=True, max_new_tokens=NEW, min_new_tokens=NEW,
                       pad_token_id=50256)

    respond()
    return lambda: slots * NEW / seconds_of(arguments, respond)


def compare(name, arguments, ours, theirs):
    pairs = [(ours(), theirs()) for _ in range(arguments.rounds)]
    mine, other = (statistics.median(side) for side in zip(*pairs))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"{name:<28} coxswain {mine:>9.0f}   pytorch {other:>9.0f} tokens/s   {ratio:.2f}x", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--dtype", default="bf16", choices=["bf16", "fp32"])
    for name, value in (("rounds", 3), ("sequences", 8), ("length", 1024)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--slots", default="1,8,32")
    parser.add_argument("--compile", action="store_true", help="torch.compile for the training step")
    arguments = parser.parse_args()
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else "processor"
    print(f"torch {torch.__version__}, {device}, {arguments.dtype}")
    keys = {"batch.global": arguments.sequences, "batch.micro": arguments.sequences, "batch.length": arguments.length,
            "model.context": arguments.length, "run.steps": STEPS + 1}
    compare(f"training, {arguments.sequences} x {arguments.length}", arguments,
            lambda: of_coxswain(arguments, "gpt2_124m.ini", keys), train(arguments))
    for slots in map(int, arguments.slots.split(",")):
        keys = {"generate.slots": slots, "generate.synthetic_prompts": slots}
        compare(f"generation, {slots} x ({PROMPT} + {NEW})", arguments,
                lambda keys=keys: of_coxswain(arguments, "gpt2_124m_generate.ini", keys), generate(arguments, slots))


main()
