#include "diffusion/pipeline/cuda_graph.hpp"

#include <ATen/ATen.h>

#include <memory>

#include "data/base/log.hpp"
#include "data/base/shape.hpp"
#include "data/base/shared_library.hpp"

namespace diffusion {
namespace {

struct CapturedGraph {
  std::vector<at::Tensor> inputs;  // where a replay reads
  at::Tensor output;               // where it writes
  std::function<void()> replay;
  bool failed = false;
};

void give_up(CapturedGraph& graph, const std::string& why) {
  data::log_warning("computing without CUDA graphs: " + why);
  graph = {{}, {}, {}, true};
}

// Captures `f` with graph.inputs as its inputs. first: its output for their present values.
void capture_graph(const TensorFunction& f,
                   const GraphCapture& capture,
                   const at::Tensor& first,
                   CapturedGraph& graph) {
  try {
    graph.replay = capture([&] { graph.output = f(graph.inputs); });
    graph.replay();
  } catch (const c10::Error& error) {
    return give_up(graph, error.what_without_backtrace());
  }
  const double difference = (graph.output - first).abs().max().item<double>(),
               largest = first.abs().max().item<double>();
  if (!(difference <= 1e-3 * largest))
    give_up(graph, "a replay differs by " + std::to_string(difference) + " from " +
                       std::to_string(largest));
}

at::Tensor replay(CapturedGraph& graph, const std::vector<at::Tensor>& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    TORCH_CHECK(inputs[i].sizes() == graph.inputs[i].sizes(), "with_graph_replay: input ", i,
                " was ", data::shape_text(graph.inputs[i].sizes()), ", is ",
                data::shape_text(inputs[i].sizes()));
    graph.inputs[i].copy_(inputs[i]);
  }
  graph.replay();
  return graph.output.clone();
}

// The library's functions.
struct Graphs {
  void* (*capture)(void (*work)(void*), void* context) = nullptr;
  void (*replay)(void* graph) = nullptr;
  void (*drop)(void* graph) = nullptr;
};

// Null functions where the library is missing.
Graphs load_graphs() {
  const auto path = data::beside_program("liblaurel_graph.so");
  if (!std::filesystem::exists(path)) return {};
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);  // kept: graphs live on
  Graphs graphs;
  if (library && data::find_function(library, "laurel_capture_graph", graphs.capture) &&
      data::find_function(library, "laurel_replay_graph", graphs.replay) &&
      data::find_function(library, "laurel_drop_graph", graphs.drop))
    return graphs;
  data::log_warning("computing without CUDA graphs: " + (library ? path.string() : dlerror()));
  return {};
}

void call(void* work) { (*static_cast<const std::function<void()>*>(work))(); }

}  // namespace

TensorFunction with_graph_replay(const TensorFunction& f, const GraphCapture& capture) {
  if (!capture) return f;
  const auto graph = std::make_shared<CapturedGraph>();
  return [=](const std::vector<at::Tensor>& inputs) {
    if (graph->failed) return f(inputs);
    if (graph->replay) return replay(*graph, inputs);
    for (const at::Tensor& input : inputs) graph->inputs.push_back(input.clone());
    const at::Tensor first = f(graph->inputs);
    capture_graph(f, capture, first, *graph);
    return first;
  };
}

GraphCapture cuda_graph_capture(at::Device device) {
  if (!device.is_cuda()) return {};
  static const Graphs graphs = load_graphs();
  if (!graphs.capture) return {};
  return [](const std::function<void()>& work) {
    const std::shared_ptr<void> graph(
        graphs.capture(call, const_cast<std::function<void()>*>(&work)), graphs.drop);
    return [graph] { graphs.replay(graph.get()); };
  };
}

}  // namespace diffusion
