"""Gradients of a LoRA that PEFT put on the tiny UNets of make_unet.py, for tests/diffusion/networks/unet/unet_test.cpp.

Made with torch 2.11.0, diffusers 0.42.1, peft 0.21:  python tests/golden/make/make_unet_lora.py
Writes tests/golden/unet_lora.safetensors: <kind>.<parameter> and <kind>.grad.<parameter>, and <kind>.out.
"""

import pathlib

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parents[1]


def main():
    tensors = {}
    for seed, kind in enumerate(["sd1", "sd2", "sdxl", "lcm", "ip2p"]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel.from_pretrained(HERE / f"unet_{kind}")
        unet.add_adapter(LoraConfig(r=2, lora_alpha=3, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
        golden = load_file(HERE / f"unet_{kind}.safetensors")
        added = {key: golden[key] for key in ("text_embeds", "time_ids") if key in golden}
        trained = {name: p for name, p in unet.named_parameters() if "lora_" in name}
        for parameter in trained.values():
            parameter.data = 0.3 * torch.randn_like(parameter)
        out = unet(golden["x"], golden["t"], golden["context"], timestep_cond=golden.get("timestep_cond"),
                   added_cond_kwargs=added or None).sample
        (out * golden["loss_weights"]).sum().backward()
        tensors[f"{kind}.out"] = out.detach()
        for name, parameter in trained.items():
            name = name.replace(".default.weight", ".weight")
            tensors[f"{kind}.{name}"] = parameter.detach()
            tensors[f"{kind}.grad.{name}"] = parameter.grad
        print(kind, len(trained))
    save_file(tensors, HERE / "unet_lora.safetensors")


if __name__ == "__main__":
    main()
