"""A transformers model of the shape that a deck describes, and this project's tensors under that model's names."""
import configparser

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM


def read_deck(path):
    deck = configparser.ConfigParser(inline_comment_prefixes=("#",))
    deck.read_string(path.read_text(encoding="utf-8"))
    return deck


class Shape:
    """[model] of an effective deck; what may be left to the program is taken from the tensors."""

    def __init__(self, section, tensors):
        if section.get("banded_layers", "none") != "none" or section.get("norm_position", "pre") != "pre":
            raise SystemExit("transformers has no model with banded layers; post-norm is not compared here")
        self.vocabulary, self.hidden = tensors["embedding/token"].shape
        self.layers = sum(name.endswith("/mlp/up/weight") for name in tensors)
        self.heads = section.getint("heads")
        self.groups = section.getint("kv_heads", 0) or self.heads
        self.head_size = section.getint("head_size", 0) or self.hidden // self.heads
        self.feed_forward = tensors["layer_00/mlp/up/weight"].shape[0]
        self.context = section.getint("context")
        self.norm_epsilon = section.getfloat("norm_epsilon", 1e-5)
        self.rotary_base = section.getfloat("rotary_base", 10000.0)
        self.rotary = section.get("positions", "learned") == "rotary"


def make_model(shape):
    """Computes in FP32, no dropout."""
    if shape.rotary:
        return LlamaForCausalLM(LlamaConfig(
            num_hidden_layers=shape.layers, hidden_size=shape.hidden, num_attention_heads=shape.heads,
            num_key_value_heads=shape.groups, head_dim=shape.head_size, intermediate_size=shape.feed_forward,
            vocab_size=shape.vocabulary, max_position_embeddings=shape.context, rms_norm_eps=shape.norm_epsilon,
            tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": shape.rotary_base},
            bos_token_id=0, eos_token_id=0))
    return GPT2LMHeadModel(GPT2Config(
        n_layer=shape.layers, n_embd=shape.hidden, n_head=shape.heads, n_inner=shape.feed_forward,
        n_positions=shape.context, vocab_size=shape.vocabulary, layer_norm_epsilon=shape.norm_epsilon,
        attn_pdrop=0, embd_pdrop=0, resid_pdrop=0, bos_token_id=0, eos_token_id=0))


def split_groups(qkv, shape):
    """[(a + 2g) d, ...], for each group its query heads, its key head, its value head -> q, k, v."""
    by_group = qkv.reshape(shape.groups, -1, shape.head_size, *qkv.shape[1:])
    queries = shape.heads // shape.groups
    parts = by_group[:, :queries], by_group[:, queries:queries + 1], by_group[:, queries + 1:]
    return [part.reshape(-1, *qkv.shape[1:]) for part in parts]


def gpt2_names(ours, shape):
    """Their Conv1D weights are [in, out]."""
    theirs = {"transformer.wte.weight": ours["embedding/token"], "transformer.wpe.weight": ours["embedding/position"],
              "lm_head.weight": ours.get("output/weight", ours["embedding/token"])}
    for kind in ("weight", "bias"):
        theirs[f"transformer.ln_f.{kind}"] = ours[f"final_norm/{kind}"]
        for index in range(shape.layers):
            at, to = f"layer_{index:02d}/", f"transformer.h.{index}."
            theirs[to + f"ln_1.{kind}"], theirs[to + f"ln_2.{kind}"] = ours[at + f"norm_1/{kind}"], ours[at + f"norm_2/{kind}"]
            linears = {"attn.c_attn": torch.cat(split_groups(ours[at + f"attention/qkv/{kind}"], shape)),
                       "attn.c_proj": ours[at + f"attention/projection/{kind}"],
                       "mlp.c_fc": ours[at + f"mlp/up/{kind}"], "mlp.c_proj": ours[at + f"mlp/down/{kind}"]}
            for name, value in linears.items():
                theirs[to + f"{name}.{kind}"] = value.T if kind == "weight" else value
    return theirs


def llama_names(ours, shape):
    theirs = {"model.embed_tokens.weight": ours["embedding/token"], "model.norm.weight": ours["final_norm/weight"],
              "lm_head.weight": ours.get("output/weight", ours["embedding/token"])}
    for index in range(shape.layers):
        at, to = f"layer_{index:02d}/", f"model.layers.{index}."
        q, k, v = split_groups(ours[at + "attention/qkv/weight"], shape)
        theirs |= {to + "input_layernorm.weight": ours[at + "norm_1/weight"],
                   to + "post_attention_layernorm.weight": ours[at + "norm_2/weight"],
                   to + "self_attn.q_proj.weight": q, to + "self_attn.k_proj.weight": k,
                   to + "self_attn.v_proj.weight": v,
                   to + "self_attn.o_proj.weight": ours[at + "attention/projection/weight"],
                   to + "mlp.up_proj.weight": ours[at + "mlp/up/weight"],
                   to + "mlp.gate_proj.weight": ours[at + "mlp/gate/weight"],
                   to + "mlp.down_proj.weight": ours[at + "mlp/down/weight"]}
    return theirs


def their_names(ours, shape):
    names = llama_names(ours, shape) if shape.rotary else gpt2_names(ours, shape)
    return {name: value.contiguous() for name, value in names.items()}
