"""What Python's diffusers and PyTorch do for benchmarks/peers.   python diffusers_side.py WORK '{"threads": 1, ...}'

A work of full_size.py, one of python_side.py on a model's folder (sampling, graph, twopass, draft, lcd, rg-lcd), or `sample`: a
user's script from the start to a PNG.
"""
import json
import pathlib
import sys
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))


def sample(options):
    import torch
    import python_side
    torch.set_num_threads(options.threads)
    pipeline = python_side.load_pipeline(options, python_side.DTYPES[options.precision])
    python_side.compiled(options, pipeline.unet, pipeline.vae.decoder)
    images = pipeline(options.prompt, num_inference_steps=options.steps, guidance_scale=options.guidance, height=options.resolution, width=options.resolution,
                      generator=torch.Generator().manual_seed(1)).images
    images[0].save(options.output)


def main():
    work, options = sys.argv[1], types.SimpleNamespace(device="cpu", **json.loads(sys.argv[2]))
    if work == "sample":
        sample(options)
        return
    import torch
    torch.set_num_threads(options.threads)
    from timing import timed
    import full_size
    if work in full_size.WORKS:
        run, weights = full_size.WORKS[work](options)
        timed(run, options.repeats, weights)
        return
    import python_side as side
    make = {"sampling": lambda: side.sampling_work(options), "graph": lambda: side.update_work(options, False), "twopass": lambda: side.update_work(options, True),
            "draft": lambda: side.draft_work(options), "lcd": lambda: side.Distillation(options, False).step, "rg-lcd": lambda: side.Distillation(options, True).step}[work]
    timed(make(), options.repeats)


if __name__ == "__main__":
    main()
