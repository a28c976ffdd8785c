#!/usr/bin/env python3
"""Checks laurel's TensorBoard files against Python's tensorboard (pip install tensorboard).

check_events.py              prints the golden events of tests/data/train/events_test.cpp
check_events.py FOLDER       reads every event file of a run and prints its scalars, images, texts and hyperparameters
"""
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2


def record(event: bytes) -> bytes:
    length = struct.pack("<Q", len(event))
    return length + struct.pack("<I", masked_crc32c(length)) + event + struct.pack("<I", masked_crc32c(event))


def event(step: int, **value) -> bytes:
    return Event(wall_time=1.5, step=step, summary=Summary(value=[Summary.Value(**value)])).SerializeToString(deterministic=True)


def plugin(name: str, content: bytes = b"") -> SummaryMetadata:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=name, content=content))


def hparams(part: str, **data) -> bytes:
    content = plugin_data_pb2.HParamsPluginData(**data).SerializeToString(deterministic=True)
    return event(0, tag="_hparams_/" + part, metadata=plugin("hparams", content))


def print_goldens():
    print("scalar", record(event(300, tag="loss", simple_value=0.25)).hex())
    image = Summary.Image(height=2, width=4, colorspace=3, encoded_image_string=b"png")
    print("image", event(3, tag="samples/0", image=image).hex())
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    text = TensorProto(dtype=7, tensor_shape=shape, string_val=[b"a *b*"])
    print("text", event(3, tag="prompts", tensor=text, metadata=plugin("text")).hex())
    kinds = [("lr", api_pb2.DATA_TYPE_FLOAT64), ("guard", api_pb2.DATA_TYPE_STRING), ("dry", api_pb2.DATA_TYPE_BOOL)]
    experiment = api_pb2.Experiment(
        name="run", time_created_secs=1.5, hparam_infos=[api_pb2.HParamInfo(name=name, type=kind) for name, kind in kinds],
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag="seen/aesthetic"))])
    print("experiment", hparams("experiment", experiment=experiment).hex())
    start = plugin_data_pb2.SessionStartInfo(group_name="run", start_time_secs=1.5)
    start.hparams["lr"].number_value = 0.5
    print("start", hparams("session_start_info", session_start_info=start).hex())
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=1.5)
    print("end", hparams("session_end_info", session_end_info=end).hex())


def print_run(folder: str):
    events = EventAccumulator(folder, size_guidance={"images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    for tag in tags["scalars"]:
        values = events.Scalars(tag)
        print(f"{tag}: {len(values)} values, last {values[-1].value:.6g} at step {values[-1].step}")
    for tag in tags["images"]:
        print(f"{tag}: images at steps {[(i.step, i.width, i.height) for i in events.Images(tag)]}")
    for tag in tags["tensors"]:
        print(f"{tag}: {events.Tensors(tag)[-1].tensor_proto.string_val[0].decode()[:70]!r}")
    for tag, content in events.PluginTagToContent("hparams").items():
        data = plugin_data_pb2.HParamsPluginData.FromString(content)
        kind = data.WhichOneof("data")
        print(f"{tag}: {len(getattr(data, kind).hparams) if kind == 'session_start_info' else kind}")


if len(sys.argv) < 2:
    print_goldens()
else:
    print_run(sys.argv[1])
