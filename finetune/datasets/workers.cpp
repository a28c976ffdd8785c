#include "finetune/datasets/workers.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <future>

namespace finetune {

void in_parallel(int64_t count, const std::function<void(int64_t worker)>& work) {
  const auto on_thread = [&work](int64_t i) {
    at::init_num_threads();  // a new thread's own operations use as many threads as the caller set
    work(i);
  };
  std::vector<std::future<void>> others;
  for (int64_t i = 1; i < count; ++i)
    others.push_back(std::async(std::launch::async, on_thread, i));
  if (count > 0) work(0);
  for (auto& other : others) other.get();
}

ThreadsPerOperation::ThreadsPerOperation(int count) : before_(at::get_num_threads()) {
  at::set_num_threads(count);
}

ThreadsPerOperation::~ThreadsPerOperation() { at::set_num_threads(before_); }

void sum_gradients(const train::Params& params, const std::vector<const train::Params*>& parts) {
  for (size_t p = 0; p < params.size(); ++p) {
    at::Tensor sum = (*parts.front())[p].value.grad();
    if (!sum.defined()) continue;  // a constant, of every part
    for (size_t i = 1; i < parts.size(); ++i) sum = sum + (*parts[i])[p].value.grad();
    params[p].value.mutable_grad() = sum;
  }
}

}  // namespace finetune
