#include "finetune/workers.hpp"

#include <future>
#include <vector>

namespace finetune {

void in_parallel(int64_t count, const std::function<void(int64_t worker)>& work) {
  std::vector<std::future<void>> others;
  for (int64_t i = 1; i < count; ++i) others.push_back(std::async(std::launch::async, work, i));
  if (count > 0) work(0);
  for (auto& other : others) other.get();
}

}  // namespace finetune
