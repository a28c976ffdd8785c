"""Tiny CLIPModels with random weights and their features, for tests/data/nn/clip_text_test.cpp and tests/rewards/clip/model_test.cpp.

Made with torch 2.11.0 and transformers 5.23:  python tests/golden/make/make_clip.py
Writes tests/golden/clip_<kind>/{config.json, model.safetensors, preprocessor_config.json} and clip_<kind>.safetensors.
"""

import json
import pathlib

import numpy
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

HERE = pathlib.Path(__file__).resolve().parents[1]
SIZE, VOCABULARY, LENGTH = 16, 40, 7
KINDS = {  # eos 2: files of before transformers 4.31, whose end token is the largest id
    "quick_gelu": dict(hidden_act="quick_gelu", eos_token_id=2),
    "gelu": dict(hidden_act="gelu", eos_token_id=37),
}


def token_ids(kind):
    end = VOCABULARY - 1 if kind == "quick_gelu" else 37
    ids = torch.randint(3, 36, (4, LENGTH))
    ids[:, 0] = 36
    for row, at in enumerate((6, 3, 1, 4)):
        ids[row, at:] = end  # padding is the end token, as in Stable Diffusion
    return ids


def make_model(options):
    tower = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, hidden_act=options["hidden_act"])
    config = CLIPConfig(
        text_config=dict(
            tower,
            num_attention_heads=2,
            vocab_size=VOCABULARY,
            max_position_embeddings=LENGTH,
            bos_token_id=36,
            eos_token_id=options["eos_token_id"],
            pad_token_id=1,
        ),
        vision_config=dict(tower, num_attention_heads=4, image_size=SIZE, patch_size=4),
        projection_dim=12,
    )
    model = CLIPModel(config).eval()
    for parameter in model.parameters():  # ones, zeros and tiny values would hide mistakes
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def main():
    for seed, (kind, options) in enumerate(KINDS.items()):
        torch.manual_seed(seed)
        model = make_model(options)
        ids = token_ids(kind)
        processor = CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=SIZE)
        photo = torch.randint(0, 256, (5, 4, 3), dtype=torch.uint8).numpy()
        photo = Image.fromarray(photo).resize((53, 40), Image.BICUBIC)  # smooth, not square, not the native size
        pixels = torch.from_numpy(numpy.array(photo)).permute(2, 0, 1)
        preprocessed = processor(photo, return_tensors="pt")["pixel_values"]
        native = torch.rand(3, 3, SIZE, SIZE, requires_grad=True)
        mean = torch.tensor(processor.image_mean).view(1, 3, 1, 1)
        std = torch.tensor(processor.image_std).view(1, 3, 1, 1)
        text = model.text_model(ids, output_hidden_states=True)
        image_features = model.get_image_features(pixel_values=(native - mean) / std).pooler_output
        text_features = model.get_text_features(input_ids=ids).pooler_output
        image_features = image_features / image_features.norm(dim=-1, keepdim=True)
        text_features = text_features / text_features.norm(dim=-1, keepdim=True)
        weights = torch.randn(3, 12)
        (image_features * weights).sum().backward()
        folder = HERE / f"clip_{kind}"
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        (folder / "text_config.json").write_text(json.dumps(model.config.text_config.to_dict(), indent=2) + "\n")
        save_file(
            {
                "ids": ids,
                "hidden": text.last_hidden_state.detach(),
                "pooled": text.pooler_output.detach(),
                "hidden_skip_1": model.text_model.final_layer_norm(text.hidden_states[-2]).detach(),
                "text_features": text_features.detach(),
                "images": native.detach(),
                "image_features": image_features.detach(),
                "loss_weights": weights,
                "images_grad": native.grad,
                "photo": pixels.contiguous(),
                "photo_preprocessed": preprocessed,
            },
            HERE / f"clip_{kind}.safetensors",
        )


if __name__ == "__main__":
    main()
