"""Files of torch.save for tests/data/weights/torch_file_test.cpp, and the tensors in them as safetensors.

Made with torch 2.11.0:  python tests/golden/make/make_torch_files.py
"""

import collections
import os
import pathlib
import sys
import types

import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).resolve().parents[1] / "torch_files"


class Runs:
    """Its pickle would run a command."""

    def __reduce__(self):
        return os.system, ("touch ran",)


def lightning_callback():
    """The class that Lightning's checkpoints name, without Lightning."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    for i in range(len(name.split("."))):
        part = ".".join(name.split(".")[: i + 1])
        sys.modules[part] = types.ModuleType(part)
    callback = type("ModelCheckpoint", (), {"__module__": name})
    sys.modules[name].ModelCheckpoint = callback
    return callback


def main():
    generator = torch.Generator().manual_seed(0)
    whole = torch.randn(6, 5, generator=generator)
    tensors = {
        "model.float": torch.randn(3, 4, generator=generator),
        "model.half": torch.randn(5, generator=generator).half(),
        "model.bfloat16": torch.randn(2, 2, generator=generator).bfloat16(),
        "model.long": torch.arange(7),
        "model.scalar": torch.tensor(2.5),
        "model.empty": torch.zeros(0, 4),
        "model.view": whole[1:4, 2:],  # an offset, and rows that are not next to each other
        "model.transposed": whole.t(),
        "model.parameter": torch.nn.Parameter(torch.randn(2, generator=generator)),
    }
    save_file({name: value.detach().contiguous() for name, value in tensors.items()}, OUT / "expected.safetensors")
    state = collections.OrderedDict(tensors)
    state._metadata = {"": {"version": 1}}
    torch.save(
        {
            "state_dict": state,
            "epoch": 3,
            "lr": 1e-4,
            "big": 2**70,
            "callbacks": {lightning_callback(): {"best": torch.ones(2), "path": None, "names": ["a", ("b", True)]}},
        },
        OUT / "lightning.ckpt",
    )
    torch.save(tensors, OUT / "plain.pt", pickle_protocol=4)
    torch.save({"unet": {"conv": {"weight": tensors["model.float"]}}, "step": 1}, OUT / "nested.pt")
    torch.save({"weight": tensors["model.float"], "extra": Runs()}, OUT / "code.ckpt")
    torch.save(tensors, OUT / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save([1, 2, 3], OUT / "no_tensors.pt")


if __name__ == "__main__":
    main()
