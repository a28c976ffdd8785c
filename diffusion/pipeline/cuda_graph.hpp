#pragma once

// CUDA graphs: a function that is called many times on inputs of one shape is captured once and
// then replayed, so that the CPU does not launch its kernels one by one.

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace diffusion {

using TensorFunction = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

// Captures what `work` queues on a device without running it. Returns a function that runs the
// captured kernels on the same memory, as often as it is called.
using GraphCapture = std::function<std::function<void()>(const std::function<void()>& work)>;

// `f`: run directly at the first call, then captured, and replayed from the second call on. Only
// the values of its inputs may change from call to call: their shapes stay, f draws no random
// numbers and reads nothing back from a device. When the capture fails, or its first replay differs
// from the first call by more than 1e-3 of the largest value, f keeps running directly and a line
// on stderr says so. An empty capture: f itself.
TensorFunction with_graph_replay(const TensorFunction& f, const GraphCapture& capture);

// By liblaurel_graph.so beside the program (the cuda preset builds it). Empty where the device is
// no GPU or the library is missing.
GraphCapture cuda_graph_capture(at::Device device);

}  // namespace diffusion
