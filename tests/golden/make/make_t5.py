"""A tiny T5EncoderModel with random weights and its output, for tests/data/nn/t5_encoder_test.cpp.

Made with torch 2.11.0 and transformers 5.23:  python tests/golden/make/make_t5.py
Writes tests/golden/t5/{config.json, model.safetensors} and t5.safetensors.
"""

import pathlib

import torch
from safetensors.torch import save_file
from transformers import T5Config, T5EncoderModel

HERE = pathlib.Path(__file__).resolve().parents[1]


def main():
    torch.manual_seed(0)
    config = T5Config(vocab_size=40, d_model=12, d_kv=5, d_ff=20, num_layers=2, num_heads=3,
                      feed_forward_proj="gated-gelu")
    model = T5EncoderModel(config).eval()
    for name, parameter in model.named_parameters():  # ones and tiny values would hide mistakes
        parameter.data += 0.3 * torch.randn_like(parameter)
    tensors = {}
    for length in (1, 8, 300):
        ids = torch.randint(0, 40, (2, length))
        tensors[f"{length}.ids"] = ids
        tensors[f"{length}.out"] = model(ids).last_hidden_state.detach().contiguous()
    attention = model.encoder.block[0].layer[0].SelfAttention
    places = torch.arange(300)  # of the first, a middle and the last query
    buckets = attention._relative_position_bucket(places[None, :] - places[:, None], True, 32, 128)
    tensors["buckets"] = buckets[[0, 150, 299]].contiguous()
    model.save_pretrained(HERE / "t5")
    save_file(tensors, HERE / "t5.safetensors")


if __name__ == "__main__":
    main()
