"""What open_clip does for benchmarks/peers: a ViT-B/32 with random weights on JPEG files.

  python scoring_side.py make '{"folder": ..., "tokenizer": ..., "count": 256, "size": 512}'
  python scoring_side.py loop|loader '{"folder": ..., "count": 256, "threads": 1, "batch": 16, "output": FILE}'

loop: Pillow, open_clip's preprocessing and encode_image, batch by batch. loader: the same with a DataLoader whose worker
processes decode meanwhile, as laurel's threads do.
"""
import json
import pathlib
import sys
import types

PROMPT = "a red circle on a blue background"


def make(options):
    """The model in OpenCLIP's layout, which both programs read, and the pictures."""
    import numpy
    import open_clip
    import torch
    from PIL import Image
    from safetensors.torch import save_file
    torch.manual_seed(0)
    model, folder = open_clip.create_model("ViT-B-32"), pathlib.Path(options.folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "model").mkdir(exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model/open_clip_model.safetensors")
    (folder / "model/open_clip_config.json").write_text(json.dumps({"model_cfg": open_clip.get_model_config("ViT-B-32"), "preprocess_cfg": {}}))
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / "model" / name).write_bytes((pathlib.Path(options.tokenizer) / name).read_bytes())
    generator = numpy.random.default_rng(0)
    for i in range(options.count):
        small = Image.fromarray(generator.integers(0, 256, (24, 24, 3), dtype=numpy.uint8))
        small.resize((options.size, options.size), Image.BICUBIC).save(folder / f"images/{i:05}.jpg", quality=92)
    (folder / "made").touch()


def score(options, workers):
    import open_clip
    import torch
    from PIL import Image
    from safetensors.torch import load_file
    torch.set_num_threads(options.threads)
    folder = pathlib.Path(options.folder)
    model = open_clip.create_model("ViT-B-32")
    model.load_state_dict(load_file(folder / "model/open_clip_model.safetensors"))
    model.eval()
    preprocess = open_clip.image_transform(224, is_train=False)
    files = sorted((folder / "images").glob("*.jpg"))[: options.count]

    class Files(torch.utils.data.Dataset):
        def __len__(self):
            return len(files)

        def __getitem__(self, i):
            return preprocess(Image.open(files[i]))

    batches = torch.utils.data.DataLoader(Files(), batch_size=options.batch, num_workers=workers)
    with torch.inference_mode():
        text = model.encode_text(open_clip.get_tokenizer("ViT-B-32")([PROMPT]), normalize=True)
        scores = torch.cat([100 * model.encode_image(x, normalize=True) @ text[0] for x in batches])
    pathlib.Path(options.output).write_text(json.dumps([float(x) for x in scores]))


def main():
    action, options = sys.argv[1], types.SimpleNamespace(**json.loads(sys.argv[2]))
    if action == "make":
        make(options)
    else:
        score(options, options.threads if action == "loader" else 0)


if __name__ == "__main__":
    main()
