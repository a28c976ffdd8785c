#!/usr/bin/env python3
"""Checks laurel's TensorBoard files against Python's tensorboard (pip install tensorboard).

check_events.py              prints the golden record of tests/data/train/metrics_test.cpp
check_events.py FOLDER       reads every event file of a run and prints its tags, counts and last values
"""
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c


def golden() -> str:
    summary = Summary(value=[Summary.Value(tag="loss", simple_value=0.25)])
    event = Event(wall_time=1.5, step=300, summary=summary).SerializeToString()
    length = struct.pack("<Q", len(event))
    return (length + struct.pack("<I", masked_crc32c(length)) + event + struct.pack("<I", masked_crc32c(event))).hex()


if len(sys.argv) < 2:
    print(golden())
else:
    events = EventAccumulator(sys.argv[1])
    events.Reload()
    for tag in events.Tags()["scalars"]:
        values = events.Scalars(tag)
        print(f"{tag}: {len(values)} values, last {values[-1].value:.6g} at step {values[-1].step}")
