"""A tiny ImageReward (BLIP) and a tiny MPS with random weights and their scores, for tests/rewards/scorers/published_test.cpp.

ImageReward: transformers' BLIP vision and text models, whose weights are written under ImageReward.pt's names.
MPS: transformers' CLIPModel; the cross layers are transcribed here from the published description, as no package has them.
Made with torch 2.11.0 and transformers 5.23:  python tests/golden/make/make_scorers.py
Writes tests/golden/scorers/{imagereward.safetensors, vocab.txt, mps.safetensors, expected.safetensors, wordpiece.json}.
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import BertTokenizer, CLIPConfig, CLIPModel
from transformers.models.blip.configuration_blip import BlipTextConfig, BlipVisionConfig
from transformers.models.blip.modeling_blip import BlipVisionModel
from transformers.models.blip.modeling_blip_text import BlipTextModel

HERE = pathlib.Path(__file__).resolve().parents[1] / "scorers"
WIDTH, SIZE, LENGTH = 16, 16, 35
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "photo", "of", "cat", "##s", "un", "##like", "##ly", "cafe"]
PIECES += [",", ".", "-", "!", "猫", "naive", "2", "##0", "k", "##ing", "¿"]
TEXTS = ["A photo of cats, unlikely!", "Café NAÏVE - 20k", "猫猫 a zebra", "", "a " * 40, "photo\tof\u200b cat ¿"]


def shaken(model):
    for parameter in model.parameters():  # ones, zeros and tiny values would hide mistakes
        parameter.data = (parameter.data + 0.2 * torch.randn_like(parameter)).half().float()
    return model.eval()


def vision_names(state):
    out = {}
    for name, tensor in state.items():
        name = name.replace("vision_model.", "")
        for old, new in (
            ("embeddings.class_embedding", "cls_token"),
            ("embeddings.position_embedding", "pos_embed"),
            ("embeddings.patch_embedding", "patch_embed.proj"),
            ("encoder.layers.", "blocks."),
            ("self_attn.qkv", "attn.qkv"),
            ("self_attn.projection", "attn.proj"),
            ("layer_norm1", "norm1"),
            ("layer_norm2", "norm2"),
            ("post_layernorm", "norm"),
        ):
            name = name.replace(old, new)
        out["blip.visual_encoder." + name] = tensor
    return out


def image_reward(expected):
    vision = shaken(
        BlipVisionModel(
            BlipVisionConfig(
                hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=2, num_attention_heads=1, image_size=SIZE,
                patch_size=8, layer_norm_eps=1e-6,
            )
        )
    )
    config = BlipTextConfig(
        vocab_size=len(PIECES), hidden_size=WIDTH, encoder_hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=1, max_position_embeddings=LENGTH, layer_norm_eps=1e-12, is_decoder=True,
    )
    text = shaken(BlipTextModel(config, add_pooling_layer=False))
    sizes = (WIDTH, 1024, 128, 64, 16, 1)
    layers = [torch.nn.Linear(sizes[i], sizes[i + 1]) for i in range(5)]
    for layer in layers:
        layer.weight.data, layer.bias.data = layer.weight.data.half().float(), layer.bias.data.half().float()
    state = vision_names(vision.state_dict())
    state.update({"blip.text_encoder." + name: tensor for name, tensor in text.state_dict().items()})
    for position, layer in zip((0, 2, 4, 6, 7), layers):
        state[f"mlp.layers.{position}.weight"], state[f"mlp.layers.{position}.bias"] = layer.weight, layer.bias
    state = {name: (t.half() if t.is_floating_point() else t).contiguous() for name, t in state.items()}
    save_file(state, HERE / "imagereward.safetensors")

    tokenizer = BertTokenizer(str(HERE / "vocab.txt"))
    tokens = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
    pixels = torch.randn(len(TEXTS), 3, SIZE, SIZE)
    with torch.no_grad():
        seen = vision(pixel_values=pixels).last_hidden_state
        hidden = text(
            input_ids=tokens.input_ids, attention_mask=tokens.attention_mask, encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long), is_decoder=False,
        ).last_hidden_state
        x = hidden[:, 0]
        for layer in layers:
            x = layer(x)
        score = (x.squeeze(1) - 0.16717362830052426) / 1.0333394966054072
    expected.update(
        {"blip.pixels": pixels, "blip.seen": seen, "blip.ids": tokens.input_ids, "blip.mask": tokens.attention_mask, "blip.score": score}
    )
    (HERE / "wordpiece.json").write_text(
        json.dumps([{"text": t, "ids": tokenizer(t)["input_ids"][1:-1]} for t in TEXTS], ensure_ascii=False, indent=1) + "\n"
    )


def swiglu(x):
    value, gate = x.chunk(2, dim=-1)
    return torch.nn.functional.silu(gate) * value


def attention(q, k, v, mask):
    b, n, inner = q.shape
    d = k.shape[-1]
    q = q.view(b, n, inner // d, d).permute(0, 2, 1, 3) * d**-0.5
    scores = torch.einsum("bhid,bjd->bhij", q, k)
    if mask is not None:
        scores = scores + mask[:, None, None, :]
    scores = scores - scores.amax(dim=-1, keepdim=True)
    return torch.einsum("bhij,bjd->bhid", scores.softmax(-1), v).permute(0, 2, 1, 3).reshape(b, n, inner)


def turned(x, inv_freq):
    d = 2 * len(inv_freq)
    angle = torch.einsum("i,j->ij", torch.arange(x.shape[1]).float(), inv_freq)
    angle = torch.cat((angle, angle), dim=-1)[None, :, None, :]
    heads = x.view(*x.shape[:2], -1, d)
    a, b = heads[..., : d // 2], heads[..., d // 2 :]
    return (heads * angle.cos() + torch.cat((-b, a), dim=-1) * angle.sin()).reshape(x.shape)


def mps(expected):
    width, head, inner, mult, vocabulary, length = 16, 4, 12, 2, 30, 9
    tower = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=1, hidden_act="gelu")
    text = dict(tower, vocab_size=vocabulary, max_position_embeddings=length, bos_token_id=28, eos_token_id=29, pad_token_id=29)
    clip = shaken(CLIPModel(CLIPConfig(text_config=text, vision_config=dict(tower, image_size=16, patch_size=8), projection_dim=width)))
    state = {"model." + name: tensor for name, tensor in clip.state_dict().items()}
    layers = []
    for i in range(2):
        shapes = {
            "0.fn.norm.weight": (width,), "0.fn.to_q.weight": (inner, width), "0.fn.to_kv.weight": (2 * head, width),
            "0.fn.to_out.weight": (width, inner), "0.fn.ff.0.weight": (2 * mult * width, width),
            "0.fn.ff.2.weight": (width, mult * width), "1.fn.norm.weight": (width,),
            "1.fn.fused_attn_ff_proj.weight": (inner + 2 * head + 2 * mult * width, width),
            "1.fn.attn_out.weight": (width, inner), "1.fn.ff_out.1.weight": (width, mult * width),
        }
        layer = {name: (0.5 * torch.randn(shape)).half().float() for name, shape in shapes.items()}
        layer["1.fn.rotary_emb.inv_freq"] = 1.0 / (10000 ** (torch.arange(0, head, 2).float() / head))
        layers.append(layer)
        state.update({f"cross_model.layers.{i}.{name}": tensor for name, tensor in layer.items()})
        for part in (0, 1):
            state[f"cross_model.layers.{i}.{part}.fn.norm.bias"] = torch.zeros(width)
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(state, HERE / "mps.safetensors")

    def text_tokens(ids):
        return clip.text_projection(clip.text_model(ids).last_hidden_state)

    def norm(x, weight):
        return torch.nn.functional.layer_norm(x, x.shape[-1:], weight)

    ids = torch.randint(0, 28, (5, length))
    ids[:, 0] = 28
    for row, end in enumerate((8, 3, 5, 2, 4)):
        ids[row, end:] = 29
    condition = torch.randint(0, 28, (1, length))
    condition[0, 0], condition[0, 6:] = 28, 29
    pixels, scores = torch.randn(5, 3, 16, 16), []
    with torch.no_grad():
        for row in range(5):  # one at a time: the mask is divided by the largest of the batch
            context = text_tokens(ids[row : row + 1])
            similarity = torch.einsum("bid,bjd->bji", context, text_tokens(condition)).amax(1)
            similarity = similarity / similarity.max()
            mask = torch.where(similarity > 0.3, 0.0, float("-inf"))
            x = clip.visual_projection(clip.vision_model(pixels[row : row + 1]).last_hidden_state)
            for w in layers:
                y = norm(x, w["0.fn.norm.weight"])
                k, v = (context @ w["0.fn.to_kv.weight"].T).chunk(2, dim=-1)
                seen = attention(y @ w["0.fn.to_q.weight"].T, k, v, mask) @ w["0.fn.to_out.weight"].T
                x = x + seen + swiglu(y @ w["0.fn.ff.0.weight"].T) @ w["0.fn.ff.2.weight"].T
                y = norm(x, w["1.fn.norm.weight"]) @ w["1.fn.fused_attn_ff_proj.weight"].T
                q, k, v, ff = y.split((inner, head, head, 2 * mult * width), dim=-1)
                f = w["1.fn.rotary_emb.inv_freq"]
                seen = attention(turned(q, f), turned(k, f), v, None) @ w["1.fn.attn_out.weight"].T
                x = x + seen + swiglu(ff) @ w["1.fn.ff_out.1.weight"].T
            prompt = clip.text_projection(clip.text_model(ids[row : row + 1]).pooler_output)
            scores.append(clip.logit_scale.exp() * torch.cosine_similarity(prompt, x[:, 0]))
    expected.update({"mps.ids": ids, "mps.condition": condition, "mps.pixels": pixels, "mps.score": torch.cat(scores)})


def main():
    HERE.mkdir(exist_ok=True)
    (HERE / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    torch.manual_seed(0)
    expected = {}
    image_reward(expected)
    mps(expected)
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, HERE / "expected.safetensors")


if __name__ == "__main__":
    main()
