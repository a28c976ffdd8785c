"""What OpenVINO does for benchmarks/peers.   python openvino_side.py export|run WORK '{"model": "FILE.xml", ...}'

export: diffusers' network, converted once. run: without PyTorch, as a program that is deployed does.
"""
import json
import os
import pathlib
import sys
import types


def export(work, options):
    import openvino
    import torch
    import full_size

    class Network(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x, t, context, text_embeds=None, time_ids=None):
            added = {} if text_embeds is None else {"text_embeds": text_embeds, "time_ids": time_ids}
            return self.inner(x, t, context, added_cond_kwargs=added, return_dict=False)[0]

    class Decoder(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner.decode(x / 0.18215, return_dict=False)[0]

    if work == "unet":
        inner = full_size.unet(options)
        x, context, added = full_size.unet_inputs(options, inner)
        network, inputs = Network(inner), (x, torch.tensor(500), context, *added.values())
    else:
        network, inputs = Decoder(full_size.vae(options)), (torch.randn(1, 4, options.resolution // 8, options.resolution // 8),)
    with torch.no_grad():
        model = openvino.convert_model(network, example_input=inputs, input=[tuple(value.shape) for value in inputs])
    pathlib.Path(options.model).parent.mkdir(parents=True, exist_ok=True)
    temporary = options.model[:-4] + "_part.xml"
    openvino.save_model(model, temporary, compress_to_fp16=False)
    os.replace(temporary[:-4] + ".bin", options.model[:-4] + ".bin")
    os.replace(temporary, options.model)


def run(options):
    import numpy
    import openvino
    from timing import timed
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": options.threads, "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[options.precision], "PERFORMANCE_HINT": "LATENCY",
                "ENABLE_CPU_PINNING": False}
    compiled = core.compile_model(options.model, "CPU", settings)
    generator = numpy.random.default_rng(1)
    inputs = [numpy.array(500) if len(port.shape) == 0 else generator.standard_normal(tuple(port.shape)).astype(numpy.float32) for port in compiled.inputs]
    request = compiled.create_infer_request()
    timed(lambda: request.infer(inputs), options.repeats, pathlib.Path(options.model[:-4] + ".bin").stat().st_size / 2 ** 20)


def main():
    action, work, options = sys.argv[1], sys.argv[2], types.SimpleNamespace(**json.loads(sys.argv[3]))
    if action == "export":
        export(work, options)
    else:
        run(options)


if __name__ == "__main__":
    main()
