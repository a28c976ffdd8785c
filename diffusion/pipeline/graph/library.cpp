// CUDA graphs: a library of its own (liblaurel_graph.so), because it needs libtorch_cuda, which
// laurel loads only when a GPU is used. diffusion/pipeline/cuda_graph.cpp opens it.

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>

#include <memory>

#define LAUREL_EXPORT extern "C" __attribute__((visibility("default")))

// Captures what `work` queues on the current device, on a stream of its own, as capturing requires.
// The caller owns the graph, and the graph the memory of its tensors until it is dropped.
LAUREL_EXPORT void* laurel_capture_graph(void (*work)(void*), void* context) {
  auto graph = std::make_unique<at::cuda::CUDAGraph>();
  c10::cuda::device_synchronize();
  const c10::cuda::CUDAStreamGuard on_its_own(c10::cuda::getStreamFromPool());
  graph->capture_begin();
  try {
    work(context);
  } catch (...) {
    try {
      graph->capture_end();
    } catch (...) {  // the first error tells what was wrong
    }
    throw;
  }
  graph->capture_end();
  return graph.release();
}

// Queues it on the current stream.
LAUREL_EXPORT void laurel_replay_graph(void* graph) {
  static_cast<at::cuda::CUDAGraph*>(graph)->replay();
}

LAUREL_EXPORT void laurel_drop_graph(void* graph) {
  delete static_cast<at::cuda::CUDAGraph*>(graph);
}
