"""Textual inversion files as the field's tools write them, for tests/diffusion/pipeline/textual_inversion_test.cpp.

Made with torch 2.11.0:  python tests/golden/make/make_embeddings.py
Writes tests/golden/embeddings/{web-ui.pt, learned_embeds.bin}: two vectors of 8 numbers, and one.
"""

import pathlib

import torch

OUT = pathlib.Path(__file__).resolve().parents[1] / "embeddings"
OUT.mkdir(exist_ok=True)
rows = torch.arange(16, dtype=torch.float32).reshape(2, 8) / 16
torch.save(
    {"string_to_token": {"*": 265}, "string_to_param": {"*": rows}, "name": "web-ui", "step": 500, "sd_checkpoint": None},
    OUT / "web-ui.pt",
)
torch.save({"<cat-toy>": torch.arange(8, dtype=torch.float16) / 8}, OUT / "learned_embeds.bin")
