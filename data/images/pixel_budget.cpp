#include "data/images/pixel_budget.hpp"

namespace data {

void PixelBudget::take(int64_t pixels) {
  std::unique_lock lock(guard_);
  freed_.wait(lock, [&] { return taken_ == 0 || taken_ + pixels <= pixels_; });
  taken_ += pixels;
}

void PixelBudget::give_back(int64_t pixels) {
  {
    const std::lock_guard lock(guard_);
    taken_ -= pixels;
  }
  freed_.notify_all();
}

}  // namespace data
