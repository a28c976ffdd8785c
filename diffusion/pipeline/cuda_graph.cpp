#include "diffusion/pipeline/cuda_graph.hpp"

#include <ATen/ATen.h>

#include <iostream>
#include <memory>

#include "data/base/shape.hpp"
#include "data/base/shared_library.hpp"

namespace diffusion {
namespace {

struct Recording {
  std::vector<at::Tensor> inputs;  // where a replay reads
  at::Tensor output;               // where it writes
  std::function<void()> replay;
  bool failed = false;
};

void give_up(Recording& recording, const std::string& why) {
  std::cerr << "laurel: computing without CUDA graphs: " << why << "\n";
  recording = {{}, {}, {}, true};
}

// Records `f` where its inputs lie now. first: what it gave for them.
void record(const TensorFunction& f,
            const Recorder& recorder,
            const at::Tensor& first,
            Recording& recording) {
  try {
    recording.replay = recorder([&] { recording.output = f(recording.inputs); });
    recording.replay();
  } catch (const c10::Error& error) {
    return give_up(recording, error.what_without_backtrace());
  }
  const double difference = (recording.output - first).abs().max().item<double>(),
               largest = first.abs().max().item<double>();
  if (!(difference <= 1e-3 * largest))
    give_up(recording, "a replay differs by " + std::to_string(difference) + " from " +
                           std::to_string(largest));
}

at::Tensor replay(Recording& recording, const std::vector<at::Tensor>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    TORCH_CHECK(inputs[i].sizes() == recording.inputs[i].sizes(), "replayed: input ", i, " was ",
                data::shape_text(recording.inputs[i].sizes()), ", is ",
                data::shape_text(inputs[i].sizes()));
    recording.inputs[i].copy_(inputs[i]);
  }
  recording.replay();
  return recording.output.clone();
}

// The library's functions.
struct Graphs {
  void* (*record)(void (*work)(void*), void* context) = nullptr;
  void (*replay)(void* graph) = nullptr;
  void (*drop)(void* graph) = nullptr;
};

// Null functions where the library is missing.
Graphs load_graphs() {
  const auto path = data::beside_program("liblaurel_graph.so");
  if (!std::filesystem::exists(path)) return {};
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);  // kept: graphs live on
  Graphs graphs;
  if (library && data::find_function(library, "laurel_record_graph", graphs.record) &&
      data::find_function(library, "laurel_replay_graph", graphs.replay) &&
      data::find_function(library, "laurel_drop_graph", graphs.drop))
    return graphs;
  std::cerr << "laurel: computing without CUDA graphs: " << (library ? path.string() : dlerror())
            << "\n";
  return {};
}

void call(void* work) { (*static_cast<const std::function<void()>*>(work))(); }

}  // namespace

TensorFunction replayed(const TensorFunction& f, const Recorder& recorder) {
  if (!recorder) return f;
  const auto recording = std::make_shared<Recording>();
  return [=](const std::vector<at::Tensor>& inputs) {
    if (recording->failed) return f(inputs);
    if (recording->replay) return replay(*recording, inputs);
    for (const at::Tensor& input : inputs) recording->inputs.push_back(input.clone());
    const at::Tensor first = f(recording->inputs);
    record(f, recorder, first, *recording);
    return first;
  };
}

Recorder cuda_recorder(at::Device device) {
  if (!device.is_cuda()) return {};
  static const Graphs graphs = load_graphs();
  if (!graphs.record) return {};
  return [](const std::function<void()>& work) {
    const std::shared_ptr<void> graph(
        graphs.record(call, const_cast<std::function<void()>*>(&work)), graphs.drop);
    return [graph] { graphs.replay(graph.get()); };
  };
}

}  // namespace diffusion
