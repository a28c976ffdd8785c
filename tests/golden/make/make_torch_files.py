"""Files of torch.save for tests/data/weights/torch_file_test.cpp, and the tensors in them as safetensors.

Made with torch 2.11.0:  python tests/golden/make/make_torch_files.py
"""

import collections
import os
import pathlib
import struct
import sys
import types
import zipfile

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


def save_hostile():
    def save(name, pickle):
        with zipfile.ZipFile(OUT / f"hostile_{name}.pt", "w") as archive:
            archive.writestr("archive/data.pkl", b"\x80\x02" + pickle + b".")
            archive.writestr("archive/data/0", b"\0" * 4)

    def text(word):
        return b"X" + struct.pack("<I", len(word)) + word.encode()

    def tensor(sizes):
        storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x01tQ"
        shape = b"".join(b"\x8a\x08" + struct.pack("<q", size) for size in sizes)
        strides = b"K\0" * len(sizes)
        rest = storage + b"K\0(" + shape + b"t(" + strides + b"t\x89ccollections\nOrderedDict\n)Rt"
        return b"}(" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + rest + b"Ru"

    keys = "abcdefghijkl"
    save("cycle", b"}q\0(" + b"".join(text(key) + b"h\0" for key in keys) + b"u")
    # Fifteen dictionaries, each of which holds the one before twelve times.
    layers = b"}q\0"
    for i in range(1, 15):
        layers += b"}(" + b"".join(text(key) + b"h" + bytes([i - 1]) for key in keys) + b"uq" + bytes([i])
    save("shared", layers)
    save("shape", tensor([1 << 32, 1 << 32]))
    save("repeat", tensor([1 << 20, 1 << 10]))


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
    word = torch.nn.ParameterDict({"*": torch.nn.Parameter(torch.arange(6.0).view(2, 3))})
    held = {
        "string_to_param": word,
        "unsigned": torch.tensor([1, 65535], dtype=torch.uint16),
        "half": torch.ones(2).half(),
        "seen": collections.Counter("aab"),
    }
    torch.save(held, OUT / "containers.pt")
    save_hostile()


if __name__ == "__main__":
    main()
