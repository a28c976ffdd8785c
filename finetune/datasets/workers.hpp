#pragma once

// Threads that share a batch. On few cores and small networks this is several times faster than
// threads inside each operation.

#include <cstdint>
#include <functional>
#include <vector>

#include "data/train/optimizers.hpp"

namespace finetune {

// Runs work(0) .. work(count - 1) at once, each on a thread of its own, and waits for all. The
// first exception is thrown on.
void in_parallel(int64_t count, const std::function<void(int64_t worker)>& work);

// While it lives, an operation of the calling thread and of in_parallel's uses `count` threads;
// then as many as before. Sums of another number of threads round otherwise.
class ThreadsPerOperation {
 public:
  explicit ThreadsPerOperation(int count);
  ~ThreadsPerOperation();
  ThreadsPerOperation(const ThreadsPerOperation&) = delete;
  ThreadsPerOperation& operator=(const ThreadsPerOperation&) = delete;

 private:
  int before_;
};

// A network that shares its memory with another and has gradients of its own.
template <class S>
struct Replica {
  S weights;
  train::Params params;
};

template <class S>
std::vector<Replica<S>> make_replicas(const S& weights, int64_t count) {
  std::vector<Replica<S>> replicas(static_cast<size_t>(count), Replica<S>{weights, {}});
  for (auto& replica : replicas) {
    for_each_tensor(replica.weights, "", [&](const std::string& name, at::Tensor& tensor) {
      tensor = tensor.detach().requires_grad_(true);
      replica.params.push_back({name, tensor});
    });
  }
  return replicas;
}

// params' gradients = the sum of the parts', added in their order.
void sum_gradients(const train::Params& params, const std::vector<const train::Params*>& parts);

// Gradient of the mean loss over `count` images: each replica takes a stretch of them. `mean_loss`
// returns the mean loss over images begin .. end - 1, []. -> the mean loss over all
template <class S>
double mean_gradient(
    std::vector<Replica<S>>& replicas,
    const train::Params& params,
    int64_t count,
    const std::function<at::Tensor(int64_t worker, const S& weights, int64_t begin, int64_t end)>&
        mean_loss) {
  const int64_t workers = std::min(count, static_cast<int64_t>(replicas.size()));
  std::vector<double> losses(static_cast<size_t>(workers));
  std::vector<const train::Params*> parts;
  for (int64_t i = 0; i < workers; ++i) parts.push_back(&replicas[i].params);
  in_parallel(workers, [&](int64_t i) {
    const int64_t begin = count * i / workers, end = count * (i + 1) / workers;
    train::zero_grad(replicas[i].params);
    const double weight = static_cast<double>(end - begin) / static_cast<double>(count);
    const at::Tensor loss = weight * mean_loss(i, replicas[i].weights, begin, end);
    loss.backward();
    losses[i] = loss.template item<double>();
  });
  sum_gradients(params, parts);
  double sum = 0;
  for (const double loss : losses) sum += loss;
  return sum;
}

}  // namespace finetune
