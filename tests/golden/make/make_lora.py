"""LoRA files of every form on the tiny pipeline of make_sample.py, and what the networks answer with them in
diffusers, for tests/diffusion/lora/read_test.cpp.

Made with torch 2.11.0, diffusers 0.42.1, transformers 5.23, peft 0.21:  python tests/golden/make/make_lora.py
Writes tests/golden/lora/<form>.safetensors (older.bin: torch.save) and tests/golden/lora.safetensors:
x, t, context, ids, and <case>.unet, <case>.text. What diffusers does not read (LoHa, LoKr, Tucker's form of
LoRA) is added to the weights here by the formulas of their papers, as LyCORIS 4 has them.
"""

import copy
import pathlib
import warnings

import diffusers
import torch
from diffusers.loaders.lora_conversion_utils import _maybe_map_sgm_blocks_to_diffusers
from diffusers.utils.state_dict_utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")
diffusers.utils.logging.set_verbosity_error()
HERE = pathlib.Path(__file__).resolve().parents[1]
FILES = HERE / "lora"

BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0."
UP = "up_blocks.0.attentions.1.transformer_blocks.0."
# Layers of every kind, and their names in the original code.
UNET = {
    "conv_in": "input_blocks.0.0",
    BLOCK + "attn1.to_q": "input_blocks.3.1.transformer_blocks.0.attn1.to_q",
    BLOCK + "attn2.to_k": "input_blocks.3.1.transformer_blocks.0.attn2.to_k",
    BLOCK + "attn2.to_out.0": "input_blocks.3.1.transformer_blocks.0.attn2.to_out.0",
    BLOCK + "ff.net.0.proj": "input_blocks.3.1.transformer_blocks.0.ff.net.0.proj",
    UP + "ff.net.2": "output_blocks.1.1.transformer_blocks.0.ff.net.2",
    "down_blocks.1.attentions.0.proj_in": "input_blocks.3.1.proj_in",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0.conv1": "input_blocks.3.0.in_layers.2",
    "down_blocks.1.resnets.0.conv_shortcut": "input_blocks.3.0.skip_connection",
    "mid_block.attentions.0.proj_out": "middle_block.1.proj_out",
    "mid_block.resnets.1.time_emb_proj": "middle_block.2.emb_layers.1",
    "up_blocks.0.upsamplers.0.conv": "output_blocks.1.2.conv",
    "up_blocks.1.resnets.1.conv2": "output_blocks.3.0.out_layers.3",
}
TEXT = ["encoder.layers.0.self_attn.q_proj", "encoder.layers.1.self_attn.out_proj", "encoder.layers.1.mlp.fc1"]


def pipeline():
    return diffusers.StableDiffusionPipeline.from_pretrained(
        HERE / "pipeline", safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        torch_dtype=torch.float32)


def module(pipe, part, name):
    model = getattr(pipe, part)
    return model.get_submodule(name if part == "unet" or hasattr(model, "encoder") else "text_model." + name)


def pair(weight, rank):
    down = 0.4 * torch.randn(rank, *weight.shape[1:])
    up = 0.4 * torch.randn(weight.shape[0], rank, *[1] * (weight.dim() - 2))
    return down, up


def kohya(pipe, original=False):
    """Ranks and alphas differ from layer to layer; the alphas not where diffusers takes the commonest for all: in
    attentions and in the text encoder."""
    tensors = {}
    for i, (name, other) in enumerate(UNET.items()):
        flat = "lora_unet_" + (other if original else name).replace(".", "_")
        weight = module(pipe, "unet", name).weight
        tensors[flat + ".lora_down.weight"], tensors[flat + ".lora_up.weight"] = pair(weight, 1 + i % 3)
        tensors[flat + ".alpha"] = torch.tensor(1.5 if i % 3 == 0 and ".attn" not in name else 0.5)
    for name in TEXT:
        flat = "lora_te_text_model_" + name.replace(".", "_")
        down, up = pair(module(pipe, "text_encoder", name).weight, 2)
        tensors[flat + ".lora_down.weight"], tensors[flat + ".lora_up.weight"] = down, up
        tensors[flat + ".alpha"] = torch.tensor(1.5)
    return tensors


def write_peft(pipe):
    """As train_text_to_image_lora.py saves: one alpha for all, in the metadata."""
    unet, text = copy.deepcopy(pipe.unet), copy.deepcopy(pipe.text_encoder)
    config = LoraConfig(r=2, lora_alpha=3, target_modules=["to_q", "to_out.0", "conv1"], init_lora_weights=False,
                        rank_pattern={"attn2.to_q": 3}, alpha_pattern={"attn2.to_q": 1})
    text_config = LoraConfig(r=2, lora_alpha=5, target_modules=["q_proj", "fc2"], init_lora_weights=False)
    unet.add_adapter(config)
    text.add_adapter(text_config)
    for model in (unet, text):
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data.normal_(0, 0.4)
    diffusers.StableDiffusionPipeline.save_lora_weights(
        FILES, unet_lora_layers=get_peft_model_state_dict(unet),
        text_encoder_lora_layers=convert_state_dict_to_diffusers(get_peft_model_state_dict(text)),
        weight_name="peft.safetensors",
        unet_lora_adapter_metadata=unet.peft_config["default"].to_dict(),
        text_encoder_lora_adapter_metadata=text.peft_config["default"].to_dict())


def older(pipe):
    """diffusers' names of 2023: attention processors, no alpha."""
    tensors = {}
    for name in UNET:
        if ".attn" not in name:
            continue
        attention, end = name.removesuffix(".0").rsplit(".", 1)
        key = f"unet.{attention}.processor.{end}_lora"
        tensors[key + ".down.weight"], tensors[key + ".up.weight"] = pair(module(pipe, "unet", name).weight, 2)
    for name, end in (("encoder.layers.0.self_attn.q_proj", "to_q"), ("encoder.layers.1.self_attn.out_proj", "to_out")):
        key = f"text_encoder.text_model.{name.rsplit('.', 1)[0]}.{end}_lora"
        tensors[key + ".down.weight"], tensors[key + ".up.weight"] = pair(module(pipe, "text_encoder", name).weight, 2)
    return tensors


def tucker(core, a, b):
    return torch.einsum("ijkl,ip,jr->prkl", core, a, b)


def add(pipe, part, name, change):
    weight = module(pipe, part, name).weight
    weight.data += change.reshape(weight.shape)


def loha(pipe, tensors):
    """Hyeon-Woo et al. 2022; the 3x3 convolution once flat, once with Tucker's cores."""
    rank, alpha = 2, 1.5
    names = list(UNET)[1:3] + ["down_blocks.1.attentions.0.proj_in", "down_blocks.1.resnets.0.conv1",
                               "up_blocks.1.resnets.1.conv2"]
    for part, name in [("unet", name) for name in names] + [("text_encoder", TEXT[2])]:
        prefix = "lora_unet_" if part == "unet" else "lora_te_text_model_"
        key = prefix + name.replace(".", "_") + "."
        weight = module(pipe, part, name).weight
        out, rest = weight.shape[0], weight[0].numel()
        tensors[key + "alpha"] = torch.tensor(alpha)
        if name.endswith("conv2"):
            sides = []
            for i in "12":
                core = torch.randn(rank, rank, 3, 3) * 0.5
                a, b = torch.randn(rank, out), torch.randn(rank, weight.shape[1])
                tensors.update({f"{key}hada_t{i}": core, f"{key}hada_w{i}_a": a, f"{key}hada_w{i}_b": b})
                sides.append(tucker(core, a, b))
            change = sides[0] * sides[1]
        else:
            w1a, w1b, w2a, w2b = (torch.randn(out, rank), torch.randn(rank, rest), torch.randn(out, rank),
                                  torch.randn(rank, rest))
            tensors.update({key + "hada_w1_a": w1a, key + "hada_w1_b": w1b, key + "hada_w2_a": w2a,
                            key + "hada_w2_b": w2b})
            change = (w1a @ w1b) * (w2a @ w2b)
        add(pipe, part, name, change * alpha / rank * 0.1)
        tensors[key + "alpha"] = torch.tensor(alpha * 0.1)


def lokr(pipe, tensors):
    """LyCORIS: kron(w1, w2) alpha / rank; scale 1, whatever the alpha, where both are whole."""
    rank, alpha = 2, 1.0
    cases = [("unet", BLOCK + "attn1.to_q", "whole"), ("unet", BLOCK + "attn2.to_k", "second"),
             ("unet", UP + "ff.net.2", "both"), ("unet", "down_blocks.1.resnets.0.conv1", "conv"),
             ("unet", "up_blocks.1.resnets.1.conv2", "tucker"), ("text_encoder", TEXT[0], "second")]
    for part, name, form in cases:
        prefix = "lora_unet_" if part == "unet" else "lora_te_text_model_"
        key = prefix + name.replace(".", "_") + "."
        weight = module(pipe, part, name).weight
        a, b = 2, 4
        c, d = weight.shape[0] // a, weight.shape[1] // b
        kernel = weight.shape[2:]
        tensors[key + "alpha"] = torch.tensor(alpha)
        scale = alpha / rank
        w1 = torch.randn(a, b)
        if form == "both":
            w1a, w1b = torch.randn(a, rank), torch.randn(rank, b)
            w1 = w1a @ w1b
            tensors.update({key + "lokr_w1_a": w1a, key + "lokr_w1_b": w1b})
        else:
            tensors[key + "lokr_w1"] = w1
        if form == "whole":
            w2, scale = 0.2 * torch.randn(c, d), 1.0
            tensors[key + "lokr_w2"] = w2
        elif form == "tucker":
            core, w2a, w2b = torch.randn(rank, rank, *kernel), torch.randn(rank, c), 0.2 * torch.randn(rank, d)
            w2 = tucker(core, w2a, w2b)
            tensors.update({key + "lokr_t2": core, key + "lokr_w2_a": w2a, key + "lokr_w2_b": w2b})
        else:
            w2a, w2b = torch.randn(c, rank), 0.2 * torch.randn(rank, d, *kernel)
            w2 = (w2a @ w2b.flatten(1)).reshape(c, d, *kernel)
            tensors.update({key + "lokr_w2_a": w2a, key + "lokr_w2_b": w2b})
        w1 = w1.reshape(a, b, *[1] * len(kernel))
        add(pipe, part, name, torch.kron(w1, w2.contiguous()) * scale)


def locon_tucker(pipe, tensors):
    """LyCORIS' LoCon with a core: up x mid x down."""
    name, rank, alpha = "up_blocks.1.resnets.1.conv2", 3, 2.0
    weight = module(pipe, "unet", name).weight
    up = torch.randn(weight.shape[0], rank, 1, 1)
    mid = 0.3 * torch.randn(rank, rank, 3, 3)
    down = torch.randn(rank, weight.shape[1], 1, 1)
    key = "lora_unet_" + name.replace(".", "_") + "."
    tensors.update({key + "lora_up.weight": up, key + "lora_mid.weight": mid, key + "lora_down.weight": down,
                    key + "alpha": torch.tensor(alpha)})
    add(pipe, "unet", name, torch.einsum("mnwh,im,nj->ijwh", mid, up[..., 0, 0], down[..., 0, 0]) * alpha / rank)


def main():
    FILES.mkdir(exist_ok=True)
    torch.manual_seed(3)
    base = pipeline()
    inputs = {"x": torch.randn(2, 4, 8, 8), "t": torch.tensor([20, 700]), "context": torch.randn(2, 5, 16),
              "ids": torch.randint(0, 500, (2, 8))}
    results = dict(inputs)

    @torch.no_grad()
    def record(case, pipe):
        unet = pipe.unet(inputs["x"], inputs["t"], inputs["context"]).sample
        text = pipe.text_encoder(inputs["ids"]).last_hidden_state
        results[case + ".unet"], results[case + ".text"] = unet.contiguous(), text.contiguous()
        print(f"{case:10} change of the UNet {(unet - results['base.unet']).abs().max():.3f}, of the text "
              f"{(text - results['base.text']).abs().max():.3f}")

    record_base = base.unet(inputs["x"], inputs["t"], inputs["context"]).sample
    results["base.unet"] = record_base.detach().contiguous()
    results["base.text"] = base.text_encoder(inputs["ids"]).last_hidden_state.detach().contiguous()

    save_file(kohya(base), FILES / "kohya.safetensors")
    save_file(kohya(base, original=True), FILES / "original.safetensors")
    write_peft(base)
    torch.save(older(base), FILES / "older.bin")
    for case in ("kohya.safetensors", "peft.safetensors", "older.bin"):
        pipe = pipeline()
        pipe.load_lora_weights(FILES, weight_name=case)
        record(case.split(".")[0], pipe)
    pipe = pipeline()  # diffusers converts the original names in its SDXL pipelines alone
    tensors = _maybe_map_sgm_blocks_to_diffusers(load_file(FILES / "original.safetensors"), pipe.unet.config)
    pipe.load_lora_weights(tensors)
    record("original", pipe)
    pipe = pipeline()
    pipe.load_lora_weights(FILES, weight_name="kohya.safetensors", adapter_name="one")
    pipe.load_lora_weights(FILES, weight_name="peft.safetensors", adapter_name="two")
    pipe.set_adapters(["one", "two"], [0.7, -0.4])
    record("several", pipe)
    for case, make in (("loha", loha), ("lokr", lokr), ("tucker", locon_tucker)):
        pipe, tensors = pipeline(), {}
        make(pipe, tensors)
        save_file(tensors, FILES / f"{case}.safetensors")
        record(case, pipe)
    save_file(results, HERE / "lora.safetensors")


if __name__ == "__main__":
    main()
