"""Tiny CLIPs of OpenCLIP, as its state_dict and as a TorchScript archive like OpenAI's, their features, and what the
packages' own preprocessing makes of photographs of several sizes, for tests/rewards/clip/layouts_test.cpp.

Made with torch 2.11.0, open_clip 3.3, torchvision, Pillow:  python tests/golden/make/make_clip_layouts.py
Writes tests/golden/clip_layouts/{open_clip_model.safetensors, open_clip_config.json,
openai/openai.pt, expected.safetensors}.
"""

import json
import pathlib

import numpy
import torch
import torchvision
from open_clip.model import CLIP
from open_clip.transform import image_transform
from PIL import Image
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parents[1] / "clip_layouts"
SIZE, VOCABULARY, LENGTH, EMBED = 16, 40, 7, 12
MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073)).view(3, 1, 1)
STD = torch.tensor((0.26862954, 0.26130258, 0.27577711)).view(3, 1, 1)


def make_model(layers, head_width, quick_gelu):
    vision = dict(image_size=SIZE, layers=layers, width=64, head_width=head_width, patch_size=8, mlp_ratio=1.0)
    text = dict(context_length=LENGTH, vocab_size=VOCABULARY, width=64, heads=64 // head_width, layers=layers, mlp_ratio=1.0)
    model = CLIP(EMBED, vision, text, quick_gelu=quick_gelu).eval()
    for parameter in model.parameters():  # ones, zeros and tiny values would hide mistakes
        parameter.data = (parameter.data + 0.1 * torch.randn_like(parameter)).half().float()
    return model, vision, text


def ids():
    rows = torch.randint(1, 37, (4, LENGTH))
    rows[:, 0] = VOCABULARY - 2
    for row, at in enumerate((6, 3, 1, 4)):
        rows[row, at:] = 0  # OpenCLIP pads with 0
        rows[row, at] = VOCABULARY - 1
    return rows


def features(model, images, tokens):
    with torch.no_grad():
        return {
            "image": model.encode_image((images - MEAN) / STD, normalize=True),
            "text": model.encode_text(tokens, normalize=True),
        }


def photo(width, height):
    small = torch.randint(0, 256, (5, 4, 3), dtype=torch.uint8).numpy()
    return Image.fromarray(small).resize((width, height), Image.BICUBIC)


def hugging_face(picture):
    width, height = picture.size
    short = min(width, height)
    new = (SIZE if width == short else SIZE * width // short, SIZE if height == short else SIZE * height // short)
    resized = numpy.array(picture.resize(new, Image.BICUBIC))
    top, left = (new[1] - SIZE) // 2, (new[0] - SIZE) // 2
    square = torch.from_numpy(resized[top : top + SIZE, left : left + SIZE].copy()).permute(2, 0, 1)
    return (square.float() / 255 - MEAN) / STD


def letterbox(picture, antialias):
    image = torchvision.transforms.functional.to_tensor(picture)
    height, width = image.shape[1:]
    scale = SIZE / float(max(height, width))
    if scale != 1.0:
        height, width = round(height * scale), round(width * scale)
        image = torchvision.transforms.functional.resize(
            image, [height, width], torchvision.transforms.InterpolationMode.BICUBIC, antialias=antialias
        )
        across, down = SIZE - width, SIZE - height
        image = torchvision.transforms.functional.pad(
            image, [across // 2, down // 2, across - across // 2, down - down // 2], fill=0
        )
    return (image - MEAN) / STD


def main():
    (HERE / "openai").mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    images, tokens, expected = torch.randint(0, 256, (3, 3, SIZE, SIZE)) / 255, ids(), {}
    expected.update(images=images, ids=tokens)

    model, vision, text = make_model(layers=2, head_width=16, quick_gelu=False)
    state = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, HERE / "open_clip_model.safetensors")
    config = {"model_cfg": {"embed_dim": EMBED, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {}}
    (HERE / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    expected.update({f"open_clip.{k}": v for k, v in features(model, images, tokens).items()})

    model, _, _ = make_model(layers=1, head_width=64, quick_gelu=True)
    expected.update({f"openai.{k}": v for k, v in features(model, images, tokens).items()})
    for name, value in (("input_resolution", SIZE), ("context_length", LENGTH), ("vocab_size", VOCABULARY)):
        model.__dict__.pop(name, None)
        model.register_buffer(name, torch.tensor(value))
    traced = torch.jit.trace_module(model, {"encode_image": images, "encode_text": tokens}, check_trace=False)
    torch.jit.save(traced, HERE / "openai" / "openai.pt")

    torchvision_clip = image_transform(SIZE, is_train=False)
    for width, height in ((53, 40), (40, 53), (47, 16), (11, 9), (16, 16), (17, 16), (16, 9)):
        picture = photo(width, height)
        at = f"{width}x{height}"
        expected[f"photo.{at}"] = torch.from_numpy(numpy.array(picture)).permute(2, 0, 1).contiguous()
        expected[f"torchvision.{at}"] = torchvision_clip(picture)
        expected[f"hugging_face.{at}"] = hugging_face(picture)
        if max(width, height) != SIZE:  # there the package forgets to pad
            expected[f"letterbox.{at}"] = letterbox(picture, True)
            expected[f"letterbox_no_antialias.{at}"] = letterbox(picture, False)
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, HERE / "expected.safetensors")


if __name__ == "__main__":
    main()
