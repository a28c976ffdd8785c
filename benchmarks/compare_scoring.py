#!/usr/bin/env python3
"""laurel score against open_clip in Python: the same CLIP, the same image files, one machine, taking turns.

A ViT-B/32 with random weights (the arithmetic does not know) is written in OpenCLIP's layout and read by both. Python does
it twice:
  loop    the straightforward way: Pillow, open_clip's preprocessing and encode_image, batch by batch
  loader  the same with a DataLoader whose worker processes decode meanwhile, as laurel does
Each figure is the median of --rounds runs, process start and loading of the model included and then taken off: a run on two
images is subtracted. The scores are compared as well.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

PROMPT = "a red circle on a blue background"


def make_model(folder, tokenizer):
    import open_clip
    import torch
    from safetensors.torch import save_file
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32")
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    config = {"model_cfg": open_clip.get_model_config("ViT-B-32"), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).write_bytes((tokenizer / name).read_bytes())


def make_images(folder, count, size):
    import numpy
    from PIL import Image
    folder.mkdir(parents=True, exist_ok=True)
    generator = numpy.random.default_rng(0)
    for i in range(count):
        small = Image.fromarray(generator.integers(0, 256, (24, 24, 3), dtype=numpy.uint8))
        small.resize((size, size), Image.BICUBIC).save(folder / f"{i:05}.jpg", quality=92)


def worker(options):
    import open_clip
    import torch
    from PIL import Image
    torch.set_num_threads(options.threads)
    model = open_clip.create_model("ViT-B-32")
    from safetensors.torch import load_file
    model.load_state_dict(load_file(options.model / "open_clip_model.safetensors"))
    model.eval()
    preprocess = open_clip.image_transform(224, is_train=False)
    files = sorted(options.images.glob("*.jpg"))[: options.count]

    class Files(torch.utils.data.Dataset):
        def __len__(self):
            return len(files)

        def __getitem__(self, i):
            return preprocess(Image.open(files[i]))

    workers = options.threads if options.worker == "loader" else 0
    batches = torch.utils.data.DataLoader(Files(), batch_size=options.batch, num_workers=workers)
    with torch.inference_mode():
        text = model.encode_text(open_clip.get_tokenizer("ViT-B-32")([PROMPT]), normalize=True)
        scores = torch.cat([100 * model.encode_image(x, normalize=True) @ text[0] for x in batches])
    options.output.write_text(json.dumps([float(x) for x in scores]))


def run_python(kind, options, count):
    output = options.work / f"{kind}.json"
    start = time.perf_counter()
    subprocess.run([sys.executable, __file__, "--worker", kind, "--model", options.work / "model", "--images", options.work / "images",
                    "--threads", str(options.threads), "--batch", str(options.batch), "--count", str(count), "--output", output], check=True)
    return time.perf_counter() - start, json.loads(output.read_text())


def run_laurel(options, count):
    output = options.work / "laurel.jsonl"
    files = sorted((options.work / "images").glob("*.jpg"))[:count]
    start = time.perf_counter()
    subprocess.run([options.laurel, "score", *files, "-r", "x", "--define", f"x=clip:{options.work / 'model'}", "-p", PROMPT, "-f", "jsonl",
                    "--batch-size", str(options.batch), "--decode-threads", str(options.decode_threads),
                    "-o", output], check=True, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": str(options.threads)})
    seconds = time.perf_counter() - start
    return seconds, [json.loads(line)["rewards"]["x"] for line in output.read_text().splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laurel", default="build/release/bin/laurel")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/compare_scoring"))
    parser.add_argument("--tokenizer", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent / "models/clip-tokenizer")
    parser.add_argument("--images", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--decode-threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker")
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args()
    if options.worker:
        return worker(options)
    make_model(options.work / "model", options.tokenizer)
    make_images(options.work / "images", options.count, options.size)
    runs = {"laurel": lambda n: run_laurel(options, n), "loop": lambda n: run_python("loop", options, n),
            "loader": lambda n: run_python("loader", options, n)}
    times, scores = {name: [] for name in runs}, {}
    for _ in range(options.rounds):
        for name, run in runs.items():
            short, _ = run(2)
            whole, scores[name] = run(options.count)
            times[name].append((options.count - 2) / (whole - short))
    rates = {name: statistics.median(values) for name, values in times.items()}
    for name, rate in rates.items():
        print(f"{name:8} {rate:7.1f} images/s   " + " ".join(f"{value:.1f}" for value in times[name]))
    for name in ("loop", "loader"):
        worst = max(abs(a - b) for a, b in zip(scores["laurel"], scores[name]))
        print(f"laurel / {name}: {rates['laurel'] / rates[name]:.2f} x; scores differ by at most {worst:.2g} of 100")


if __name__ == "__main__":
    main()
