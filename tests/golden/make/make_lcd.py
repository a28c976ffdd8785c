"""One step of latent consistency distillation on a tiny UNet, for tests/finetune/distill/lcd_test.cpp.

Written from the published algorithm (Luo et al. 2023, algorithm 1; LCM-LoRA report, algorithm 1) and the constants of the
released checkpoints, on diffusers' own UNet, schedule and guidance embedding; nothing of it comes from laurel.

Made with torch 2.11.0 and diffusers 0.42.1:  python tests/golden/make/make_lcd.py     -> tests/golden/lcd.safetensors
The student is tests/golden/unet_lcm; the teacher has 1.1 times its weights and no guidance embedding, the target network
0.9 times its weights.
"""

import pathlib

import torch
from diffusers import DDIMScheduler, LatentConsistencyModelPipeline, UNet2DConditionModel
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parents[1]
B, STEPS, SCALING, SIGMA_DATA = 4, 50, 10.0, 0.5
LEARNING_RATE, WEIGHT_DECAY, CLIP, EMA, HUBER_C = 1e-3, 0.01, 0.1, 0.95, 1e-3
# prediction type, loss, guidance embedded
CASES = {"eps": ("epsilon", "huber", True), "v": ("v_prediction", "l2", True), "fixed": ("epsilon", "huber", False)}


def load(embedded, factor):
    unet = UNet2DConditionModel.from_pretrained(HERE / "unet_lcm", torch_dtype=torch.float32)
    if not embedded:
        config = dict(unet.config, time_cond_proj_dim=None)
        plain = UNet2DConditionModel.from_config(config)
        plain.load_state_dict({k: v for k, v in unet.state_dict().items() if "cond_proj" not in k})
        unet = plain
    with torch.no_grad():
        for value in unet.parameters():
            value.mul_(factor)
    return unet


def column(x):
    return x.reshape(-1, 1, 1, 1)


class Algorithm:
    def __init__(self, kind):
        self.prediction, self.loss_kind, self.embedded = CASES[kind]
        scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
        self.abar = scheduler.alphas_cumprod
        k = 1000 // STEPS
        self.points = torch.arange(1, STEPS + 1) * k - 1
        self.before = torch.clamp(self.points - k, min=0)
        self.abar_before = torch.cat([self.abar[:1], self.abar[self.points[:-1]]])
        self.student, self.target, self.teacher = load(self.embedded, 1.0), load(self.embedded, 0.9), load(False, 1.1)

    def meanings(self, output, x, t):
        alpha, sigma = column(self.abar[t]).sqrt(), column(1 - self.abar[t]).sqrt()
        if self.prediction == "epsilon":
            return (x - sigma * output) / alpha, output
        return alpha * x - sigma * output, alpha * output + sigma * x

    def f(self, unet, x, t, hidden, w):
        condition = None
        if self.embedded:
            condition = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, w, embedding_dim=12)
        output = unet(x, t, encoder_hidden_states=hidden, timestep_cond=condition).sample
        x0, _ = self.meanings(output, x, t)
        u = column(t) * SCALING
        skip, out = SIGMA_DATA**2 / (u**2 + SIGMA_DATA**2), u / (u**2 + SIGMA_DATA**2) ** 0.5
        return skip * x + out * x0

    def step(self, inputs):
        z0, noise, index, w = inputs["latents"], inputs["noise"], inputs["index"], inputs["w"]
        hidden, empty = inputs["hidden"], inputs["empty"].expand(B, -1, -1)
        t, before = self.points[index], self.before[index]
        x = column(self.abar[t]).sqrt() * z0 + column(1 - self.abar[t]).sqrt() * noise
        predicted = self.f(self.student, x, t, hidden, w)
        with torch.no_grad():
            x0_c, eps_c = self.meanings(self.teacher(x, t, hidden).sample, x, t)
            x0_u, eps_u = self.meanings(self.teacher(x, t, empty).sample, x, t)
            x0, eps = x0_c + column(w) * (x0_c - x0_u), eps_c + column(w) * (eps_c - eps_u)
            bar = column(self.abar_before[index])
            nearer = bar.sqrt() * x0 + (1 - bar).sqrt() * eps
            target = self.f(self.target, nearer, before, hidden, w)
        if self.loss_kind == "l2":
            loss = torch.nn.functional.mse_loss(predicted, target)
        else:
            loss = torch.mean(torch.sqrt((predicted - target) ** 2 + HUBER_C**2) - HUBER_C)
        loss.backward()
        result = {"predicted": predicted.detach(), "target": target, "loss": loss.detach()}
        parameters = dict(self.student.named_parameters())
        result |= {f"grad.{name}": value.grad.clone() for name, value in parameters.items()}
        torch.nn.utils.clip_grad_norm_(parameters.values(), CLIP)
        torch.optim.AdamW(parameters.values(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY).step()
        with torch.no_grad():
            for value, average in zip(parameters.values(), self.target.parameters()):
                average.mul_(EMA).add_(value, alpha=1 - EMA)
        averages = dict(self.target.named_parameters())
        for name in ("conv_in.weight", "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"):
            result[f"after.{name}"], result[f"average.{name}"] = parameters[name].detach(), averages[name].detach()
        return result


def main():
    generator = torch.Generator().manual_seed(6)
    draw = lambda *shape: torch.randn(shape, generator=generator)
    inputs = {
        "latents": draw(B, 4, 8, 8), "noise": draw(B, 4, 8, 8), "hidden": draw(B, 5, 8), "empty": draw(1, 5, 8),
        "index": torch.tensor([0, 1, 24, 49]), "w": torch.tensor([3.0, 7.5, 4.25, 14.0]),
    }
    file = dict(inputs)
    for kind in CASES:
        result = Algorithm(kind).step(inputs)
        if kind != "eps":  # all gradients once; elsewhere the first and the last layer's
            result = {k: v for k, v in result.items() if not k.startswith("grad.") or k[5:].startswith(("conv_in", "conv_out"))}
        file |= {f"{kind}.{name}": value.contiguous() for name, value in result.items()}
    save_file(file, HERE / "lcd.safetensors")


if __name__ == "__main__":
    main()
