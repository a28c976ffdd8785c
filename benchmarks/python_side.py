"""The work that laurel is compared with, as Python's diffusers and PyTorch do it: sampling, an update of PRDP, a step of
distillation, features of a CLIP. peers and gpu time it.

`options` name it: model (a folder in diffusers' layout), device, precision (fp32 or bf16), compiled (torch.compile),
checkpointing, threads, images, steps, update_steps, guidance, train (lora or full: of distillation). Networks that are not
trained have weights of the precision; those that are trained have fp32 weights under autocast, as diffusers' own training
scripts.
"""
import contextlib
import copy
import json
import pathlib
import time

import torch

CLIP_BATCH = 16
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def weights_mb(network):
    return sum(value.nbytes for value in network.parameters()) / 2 ** 20


def prompts_of(count):
    return [f"a {('red', 'green', 'blue', 'yellow')[k % 4]} {('circle', 'square', 'triangle')[k % 3]}" for k in range(count)]


def synchronize(options):
    if options.device != "cpu":
        torch.cuda.synchronize()


def times_of(options, run, repeats):
    """Seconds of each of so many runs, the device's work done before the clock is read."""
    times = []
    for _ in range(repeats):
        synchronize(options)
        start = time.perf_counter()
        run()
        synchronize(options)
        times.append(time.perf_counter() - start)
    return times


def autocast(options):
    if options.precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(options.device).type, DTYPES[options.precision])


def compiled(options, *modules):
    for module in modules:
        if options.compiled:
            module.compile()


def load_pipeline(options, dtype):
    import diffusers
    torch.set_num_threads(options.threads)
    index = json.loads((pathlib.Path(options.model) / "model_index.json").read_text())
    more = {} if "XL" in index["_class_name"] else {"safety_checker": None}
    pipeline = getattr(diffusers, index["_class_name"]).from_pretrained(options.model, dtype=dtype, **more).to(options.device)
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


class Texts:
    """Prompts encoded, and the empty prompt beside each: what a UNet reads. SDXL's have a pooled row and sizes too."""

    def __init__(self, pipeline, prompts, device):
        with torch.no_grad():
            encoded = pipeline.encode_prompt(prompts, device=device, num_images_per_prompt=1, do_classifier_free_guidance=True, negative_prompt=[""] * len(prompts))
        self.hidden, self.empty = encoded[:2]
        self.pooled, self.empty_pooled = encoded[2:] if len(encoded) == 4 else (None, None)
        side = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
        self.sizes = torch.tensor([[side, side, 0, 0, side, side]], dtype=self.hidden.dtype, device=device)

    def added(self, pooled):
        return {} if pooled is None else {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": self.sizes.expand(len(pooled), -1)}}

    def of_prompts(self):
        return (self.hidden,), self.added(self.pooled)

    def of_empty(self):
        return (self.empty,), self.added(self.empty_pooled)

    def of_both(self):
        """The empty prompts first."""
        return (torch.cat([self.empty, self.hidden]),), self.added(None if self.pooled is None else torch.cat([self.empty_pooled, self.pooled]))

    def for_pipeline(self):
        named = {"prompt_embeds": self.hidden, "negative_prompt_embeds": self.empty}
        return named if self.pooled is None else {**named, "pooled_prompt_embeds": self.pooled, "negative_pooled_prompt_embeds": self.empty_pooled}


def adapters(unet):
    """Adds a LoRA of rank 8 to the attentions. -> its parameters"""
    from peft import LoraConfig
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    return [value for value in unet.parameters() if value.requires_grad]


def sampling_work(options):
    pipeline = load_pipeline(options, DTYPES[options.precision])
    texts = Texts(pipeline, prompts_of(options.images), options.device).for_pipeline()
    compiled(options, pipeline.unet, pipeline.vae.decoder)

    def run():
        generators = [torch.Generator().manual_seed(k) for k in range(options.images)]
        pipeline(**texts, num_inference_steps=options.steps, guidance_scale=options.guidance, eta=0.0, generator=generators, output_type="np")
    return run


class Chain:
    """Trajectories of the base model, and DDIM steps at eta 1 as Gaussians (Song et al. 2021, eq. 12 and 16)."""

    def __init__(self, options):
        self.options = options
        pipeline = load_pipeline(options, torch.float32)
        pipeline.scheduler.set_timesteps(options.update_steps)
        self.unet = pipeline.unet.requires_grad_(False)
        self.times = pipeline.scheduler.timesteps.to(options.device)
        self.numbers = self.times.tolist()
        self.abar = pipeline.scheduler.alphas_cumprod.double()
        self.gap = pipeline.scheduler.config.num_train_timesteps // options.update_steps
        half = options.images // 2
        self.texts = Texts(pipeline, ["a red circle"] * half + ["a blue square"] * half, options.device).of_both()
        generator = torch.Generator().manual_seed(1)
        shape = (options.images, self.unet.config.in_channels, self.unet.config.sample_size, self.unet.config.sample_size)

        def noise():
            return torch.randn(shape, generator=generator).to(options.device)
        self.latents, self.reference = [noise()], []
        with torch.no_grad():
            for k in range(options.update_steps):
                mean, sigma = self.mean(k)
                self.reference.append(mean)
                self.latents.append(mean + sigma * noise())
        self.rewards = torch.randn(options.images, generator=generator, dtype=torch.float64).to(options.device)

    def mean(self, k):
        x, t, (context, added) = self.latents[k], self.numbers[k], self.texts
        with autocast(self.options):
            both = self.unet(torch.cat([x, x]), self.times[k], *context, **added).sample.float()
        uncond, cond = both.chunk(2)
        epsilon = uncond + self.options.guidance * (cond - uncond)
        now, before = float(self.abar[t]), float(self.abar[max(t - self.gap, 0)])
        variance = (1 - before) / (1 - now) * (1 - now / before)
        sigma = max(variance ** 0.5, 0.1)
        x0 = (x - (1 - now) ** 0.5 * epsilon) / now ** 0.5
        return before ** 0.5 * x0 + max(1 - before - sigma ** 2, 0.0) ** 0.5 * epsilon, sigma

    def log_ratio(self, k):
        """log pi / pi_ref of step k, in nats. -> [N] fp64"""
        mean, sigma = self.mean(k)
        reference = self.reference[k]
        return ((mean - reference).double() * (2 * self.latents[k + 1] - mean - reference).double()).sum((1, 2, 3)) / (2 * sigma ** 2)

    def loss(self, ratios):
        """PRDP, eq. 10 and 12: the squared error of each pair's reward difference. ratios: [N, T]"""
        images = self.options.images
        half = images // 2 if images >= 4 else images  # of one prompt
        clipped = ratios + (ratios.clamp(-0.2, 0.2) - ratios).detach()
        total = torch.zeros((), dtype=torch.float64, device=ratios.device)
        for first in range(0, images, half):
            u, r = clipped.sum(1)[first:first + half], self.rewards[first:first + half]
            error = (u[:, None] - u[None]) - (r[:, None] - r[None])
            total = total + error.square().sum() / 2
        return total / (half * (half - 1))


def update_work(options, two_pass=True):
    chain = Chain(options)
    steps = range(options.update_steps)
    params = adapters(chain.unet)
    if options.checkpointing:
        chain.unet.enable_gradient_checkpointing()
        chain.unet.train()
    compiled(options, chain.unet)
    optimiser = torch.optim.AdamW(params, lr=1e-6)
    stored = torch.zeros(options.images, options.update_steps, dtype=torch.float64, device=options.device)  # the policy that drew is the one updated

    def run():
        if two_pass:
            leaf = stored.clone().requires_grad_(True)
            weights = torch.autograd.grad(chain.loss(leaf), leaf)[0]
            for k in steps:
                (chain.log_ratio(k) * weights[:, k]).sum().backward()
        else:
            chain.loss(torch.stack([chain.log_ratio(k) for k in steps], 1)).backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimiser.step()
        optimiser.zero_grad()
    return run


def draft_work(options):
    """An optimiser step of DRaFT-1 (Clark et al. 2024) on adapters: update_steps steps, the last one and the decoding with a
    gradient. The reward is the mean pixel."""
    pipeline = load_pipeline(options, torch.float32)
    unet, vae, scheduler = pipeline.unet, pipeline.vae.requires_grad_(False), pipeline.scheduler
    params = adapters(unet)
    if options.checkpointing:
        unet.enable_gradient_checkpointing()
        unet.train()
    optimiser = torch.optim.AdamW(params, lr=1e-6)
    scheduler.set_timesteps(options.update_steps)
    context, added = Texts(pipeline, prompts_of(options.images), options.device).of_both()
    side, generator = unet.config.sample_size, torch.Generator().manual_seed(1)

    def step(x, t):
        with autocast(options):
            uncond, cond = unet(torch.cat([x, x]), t, *context, **added).sample.float().chunk(2)
        return scheduler.step(uncond + options.guidance * (cond - uncond), t, x, eta=1.0, generator=generator).prev_sample

    def run():
        x = torch.randn(options.images, unet.config.in_channels, side, side, generator=generator).to(options.device)
        with torch.no_grad():
            for t in scheduler.timesteps[:-1]:
                x = step(x, t)
        x = step(x, scheduler.timesteps[-1])
        images = (vae.decode(x / vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
        (-images.mean()).backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return run


def load_clip(options, dtype):
    from transformers import CLIPModel
    return CLIPModel.from_pretrained(pathlib.Path(options.model) / "clip", dtype=dtype).requires_grad_(False).to(options.device)


def unit(features):
    features = features if torch.is_tensor(features) else features.pooler_output
    return torch.nn.functional.normalize(features, dim=-1)


def normalised(images):
    return (images - images.new_tensor(CLIP_MEAN).view(3, 1, 1)) / images.new_tensor(CLIP_STD).view(3, 1, 1)


def clip_work(options):
    torch.set_num_threads(options.threads)
    clip = load_clip(options, DTYPES[options.precision])
    side = clip.config.vision_config.image_size
    images = torch.full((CLIP_BATCH, 3, side, side), 0.5, device=options.device, dtype=DTYPES[options.precision])
    compiled(options, clip.vision_model)

    def run():
        with torch.no_grad():
            unit(clip.get_image_features(pixel_values=normalised(images)))
    return run


class Distillation:
    def __init__(self, options, rewarded):
        from diffusers import UNet2DConditionModel
        self.options, self.rewarded = options, rewarded
        pipeline = load_pipeline(options, torch.float32)
        self.teacher, self.vae = pipeline.unet.requires_grad_(False), pipeline.vae.requires_grad_(False)
        self.student = UNet2DConditionModel.from_config(self.teacher.config, time_cond_proj_dim=256).to(options.device)
        self.student.load_state_dict(self.teacher.state_dict(), strict=False)
        lora = options.train == "lora"
        self.params = adapters(self.student) if lora else list(self.student.parameters())
        self.target = copy.deepcopy(self.student)
        self.averages = [value for value in self.target.parameters() if value.requires_grad]
        self.target.requires_grad_(False)
        if options.checkpointing:
            self.student.enable_gradient_checkpointing()
            self.student.train()
        self.optimiser = torch.optim.AdamW(self.params, lr=1e-6, weight_decay=0.0)
        self.abar = pipeline.scheduler.alphas_cumprod.to(options.device)
        self.points = torch.arange(1, 51) * 20 - 1
        captions = ["a red circle", "a blue square"] * (options.images // 2)
        self.texts = Texts(pipeline, captions, options.device)
        self.generator = torch.Generator().manual_seed(1)
        if rewarded:
            self.clip = load_clip(options, torch.float32)
            with torch.no_grad():
                ids = pipeline.tokenizer(captions, padding="max_length", return_tensors="pt").input_ids.to(options.device)
                self.text = unit(self.clip.get_text_features(input_ids=ids))
            compiled(options, self.vae.decoder, self.clip.vision_model)
        compiled(options, self.student, self.teacher, self.target)

    def column(self, x):
        return x.view(-1, 1, 1, 1)

    def x0(self, output, x, t):
        return (x - self.column(1 - self.abar[t]).sqrt() * output) / self.column(self.abar[t]).sqrt()

    def f(self, unet, x, t, w):
        from diffusers import LatentConsistencyModelPipeline
        embedding = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, w, embedding_dim=256)
        context, added = self.texts.of_prompts()
        output = unet(x, t, *context, timestep_cond=embedding, **added).sample.float()
        scaled = self.column(t) * 10.0
        return 0.25 / (scaled ** 2 + 0.25) * x + scaled / (scaled ** 2 + 0.25).sqrt() * self.x0(output, x, t)

    def guide(self, x, t):
        """The teacher with and without the prompt."""
        outputs = [self.teacher(x, t, *context, **added).sample.float() for context, added in (self.texts.of_prompts(), self.texts.of_empty())]
        return outputs

    def reward(self, latents):
        images = (self.vae.decode(latents / self.vae.config.scaling_factor).sample.float() / 2 + 0.5).clamp(0, 1)
        side = self.clip.config.vision_config.image_size
        if images.shape[-1] != side:
            images = torch.nn.functional.interpolate(images, size=(side, side), mode="bicubic", antialias=True)
        return (unit(self.clip.get_image_features(pixel_values=normalised(images))).float() * self.text).sum(1).mean()

    def drawn(self, *shape):
        return torch.randn(*shape, generator=self.generator).to(self.options.device)

    def step(self):
        count, device = self.options.images, self.options.device
        shape = (count, self.student.config.in_channels, self.student.config.sample_size, self.student.config.sample_size)
        clean, noise = self.drawn(shape), self.drawn(shape)
        index = torch.randint(50, (count,), generator=self.generator)
        t, before = self.points[index].to(device), (self.points[index] - 20).clamp(min=0).to(device)
        w = (2 + 12 * torch.rand(count, generator=self.generator)).to(device)
        x = self.column(self.abar[t]).sqrt() * clean + self.column(1 - self.abar[t]).sqrt() * noise
        with autocast(self.options):
            predicted = self.f(self.student, x, t, w)
            with torch.no_grad():
                cond, uncond = self.guide(x, t)
                x0_cond, x0_uncond = self.x0(cond, x, t), self.x0(uncond, x, t)
                x0, epsilon = x0_cond + self.column(w) * (x0_cond - x0_uncond), cond + self.column(w) * (cond - uncond)
                bar = self.column(self.abar[before])
                target = self.f(self.target, bar.sqrt() * x0 + (1 - bar).sqrt() * epsilon, before, w)
            loss = torch.mean(torch.sqrt((predicted - target) ** 2 + 1e-6) - 1e-3)
            if self.rewarded:
                loss = loss - 0.01 * self.reward(predicted)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            for value, average in zip(self.params, self.averages):
                average.mul_(0.95).add_(value, alpha=0.05)
