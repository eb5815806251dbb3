#!/usr/bin/env python3
"""Makes the golden files of tests/regression: whole models computed by an independent program.

    pip install torch transformers h5py          (not needed by the build or by the tests)
    python3 tests/golden/make_models.py          writes gpt1.h5, gpt2.h5, llama.h5 beside this script

Each file holds a tiny model with random FP32 weights and what transformers makes of it in FP64: /tokens and /targets
i32 [b, t], /logits f32 [b, t, v], /loss f64 (mean over all tokens), /weights/NAME and /gradients/NAME f32 (dloss/dNAME),
under the names and in the layouts of this project's checkpoints. The model's sizes are attributes of the root.
Rows of attention/qkv: for each key/value group its query heads, then its key head, then its value head.
"""
import pathlib

import h5py
import numpy
import torch
from transformers import (GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, OpenAIGPTConfig,
                          OpenAIGPTLMHeadModel)

LAYERS, HIDDEN, HEADS, GROUPS, LENGTH, VOCABULARY, BATCH = 2, 32, 4, 2, 16, 61, 2
HEAD = HIDDEN // HEADS
FEED_FORWARD_GPT, FEED_FORWARD_LLAMA = 128, 80


def by_group(q, k, v, groups):
    """[a d, h], [g d, h], [g d, h] (or without h) -> [(a + 2g) d, h], one group after another."""
    tail = q.shape[1:]
    parts = [x.reshape(groups, -1, *tail) for x in (q, k, v)]
    return torch.cat(parts, dim=1).reshape(-1, *tail)


def gpt_tensors(model, read, post_norm):
    """Our names for GPT-1 and GPT-2; their Conv1D weights are [in, out]. `read` takes the value or the gradient."""
    body, hidden, heads = model.transformer, model.config.n_embd, model.config.n_head
    positions, tokens = (body.positions_embed, body.tokens_embed) if post_norm else (body.wpe, body.wte)
    result = {"embedding/token": read(tokens.weight), "embedding/position": read(positions.weight)}
    for index, layer in enumerate(body.h):
        at = f"layer_{index:02d}/"
        for name, norm in (("norm_1", layer.ln_1), ("norm_2", layer.ln_2)):
            result[at + name + "/weight"], result[at + name + "/bias"] = read(norm.weight), read(norm.bias)
        qkv = read(layer.attn.c_attn.weight).T.split(hidden)
        result[at + "attention/qkv/weight"] = by_group(*qkv, heads)
        result[at + "attention/qkv/bias"] = by_group(*read(layer.attn.c_attn.bias).split(hidden), heads)
        for name, linear in (("attention/projection", layer.attn.c_proj), ("mlp/up", layer.mlp.c_fc),
                             ("mlp/down", layer.mlp.c_proj)):
            result[at + name + "/weight"], result[at + name + "/bias"] = read(linear.weight).T, read(linear.bias)
    if not post_norm:
        result["final_norm/weight"], result["final_norm/bias"] = read(body.ln_f.weight), read(body.ln_f.bias)
    return result


def llama_tensors(model, read):
    result = {"embedding/token": read(model.model.embed_tokens.weight)}
    for index, layer in enumerate(model.model.layers):
        at = f"layer_{index:02d}/"
        attention, mlp = layer.self_attn, layer.mlp
        result[at + "norm_1/weight"] = read(layer.input_layernorm.weight)
        result[at + "norm_2/weight"] = read(layer.post_attention_layernorm.weight)
        result[at + "attention/qkv/weight"] = by_group(read(attention.q_proj.weight), read(attention.k_proj.weight),
                                                       read(attention.v_proj.weight), GROUPS)
        result[at + "attention/projection/weight"] = read(attention.o_proj.weight)
        result[at + "mlp/up/weight"] = read(mlp.up_proj.weight)
        result[at + "mlp/gate/weight"] = read(mlp.gate_proj.weight)
        result[at + "mlp/down/weight"] = read(mlp.down_proj.weight)
    result["final_norm/weight"] = read(model.model.norm.weight)
    result["output/weight"] = read(model.lm_head.weight)
    return result


def torch_rms_norm():
    return torch.nn.RMSNorm(HIDDEN, eps=1e-5)


def randomise(model, generator):
    """Every weight, norms and biases too, so that none is where a mistake would not show. FP32 values, FP64 sums."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
        is_norm_weight = parameter.dim() == 1 and name.endswith("weight")
        parameter.data = ((1 + 0.1 * noise) if is_norm_weight else 0.2 * noise).to(torch.float64)


def write(path, model, tensors, attributes, generator):
    model = model.to(torch.float64).eval()
    randomise(model, generator)
    window = torch.randint(0, VOCABULARY, (BATCH, LENGTH + 1), generator=generator)
    tokens, targets = window[:, :-1], window[:, 1:]
    logits = model(input_ids=tokens).logits
    assert logits.dtype == torch.float64
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, VOCABULARY), targets.reshape(-1))
    loss.backward()
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes | {"layers": LAYERS, "hidden": HIDDEN, "heads": HEADS, "vocabulary": VOCABULARY,
                                        "positions": LENGTH})
        file["tokens"] = tokens.numpy().astype(numpy.int32)
        file["targets"] = targets.numpy().astype(numpy.int32)
        file["logits"] = logits.detach().numpy().astype(numpy.float32)
        file["loss"] = numpy.float64(loss.item())
        for group, read in (("weights", lambda p: p.detach()), ("gradients", lambda p: p.grad)):
            for name, value in tensors(model, read).items():
                file[f"{group}/{name}"] = value.contiguous().numpy().astype(numpy.float32)
    print(f"{path.name}: loss {loss.item():.9f}, {path.stat().st_size} bytes")


def main():
    folder = pathlib.Path(__file__).resolve().parent
    generator = torch.Generator().manual_seed(20261122)
    common = {"n_layer": LAYERS, "n_embd": HIDDEN, "n_head": HEADS, "n_positions": LENGTH, "vocab_size": VOCABULARY,
              "attn_pdrop": 0, "embd_pdrop": 0, "resid_pdrop": 0, "bos_token_id": 0, "eos_token_id": 0}
    gpt_attributes = {"key_value_heads": HEADS, "feed_forward": FEED_FORWARD_GPT, "norm_epsilon": 1e-5, "tied": 1}
    # "gelu" is the tanh form there, as "gelu_new" is in GPT-2.
    gpt1 = OpenAIGPTLMHeadModel(OpenAIGPTConfig(**common, afn="gelu", layer_norm_epsilon=1e-5))
    write(folder / "gpt1.h5", gpt1, lambda m, r: gpt_tensors(m, r, True), gpt_attributes, generator)
    gpt2 = GPT2LMHeadModel(GPT2Config(**common, activation_function="gelu_new", layer_norm_epsilon=1e-5))
    write(folder / "gpt2.h5", gpt2, lambda m, r: gpt_tensors(m, r, False), gpt_attributes, generator)
    llama = LlamaForCausalLM(LlamaConfig(
        num_hidden_layers=LAYERS, hidden_size=HIDDEN, num_attention_heads=HEADS, num_key_value_heads=GROUPS,
        intermediate_size=FEED_FORWARD_LLAMA, vocab_size=VOCABULARY, max_position_embeddings=LENGTH,
        rms_norm_eps=1e-5, hidden_act="silu", tie_word_embeddings=False, attention_bias=False, mlp_bias=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, bos_token_id=0, eos_token_id=0))
    for layer in llama.model.layers:  # transformers' own RMSNorm computes in FP32 whatever the model's type
        layer.input_layernorm, layer.post_attention_layernorm = torch_rms_norm(), torch_rms_norm()
    llama.model.norm = torch_rms_norm()
    write(folder / "llama.h5", llama, llama_tensors,
          {"key_value_heads": GROUPS, "feed_forward": FEED_FORWARD_LLAMA, "norm_epsilon": 1e-5, "tied": 0,
           "rotary_base": 10000.0}, generator)


if __name__ == "__main__":
    main()
