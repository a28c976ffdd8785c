#pragma once

// A piece of work that is done many times on inputs of one shape. A GPU can be given all of its
// operations at once: they are recorded as a CUDA graph, and replayed.

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace diffusion {

using TensorFunction = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

// Records what `work` queues on a device, without doing it, and returns what does it, on the same
// memory, as often as it is called.
using Recorder = std::function<std::function<void()>(const std::function<void()>& work)>;

// `f`, done by itself at the first call, then recorded and from the second call on replayed. All
// that changes from call to call are its inputs' values: their shapes stay, f draws no random
// numbers and reads nothing from a device. Where a recording cannot be made, or does not give again
// what the first call gave (within 1e-3 of its largest value), f goes on being done by itself,
// which is said on stderr. An empty recorder: f itself.
TensorFunction replayed(const TensorFunction& f, const Recorder& recorder);

// Of CUDA graphs, by liblaurel_graph.so beside the program (the cuda preset builds it). Empty where
// the device is no GPU or the library is missing.
Recorder cuda_recorder(at::Device device);

}  // namespace diffusion
