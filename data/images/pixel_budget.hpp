#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace data {

// How many pixels may be in work at once, for threads that decode pictures: memory is bounded by
// pixels, whatever the number of threads and of pictures. A picture that is larger than the whole
// budget waits until it is alone.
class PixelBudget {
 public:
  explicit PixelBudget(int64_t pixels) : pixels_(pixels) {}

  void take(int64_t pixels);  // waits until they fit
  void give_back(int64_t pixels);

 private:
  const int64_t pixels_;
  std::mutex guard_;
  std::condition_variable freed_;
  int64_t taken_ = 0;
};

// Holds pixels of a budget while it lives.
class PixelLease {
 public:
  PixelLease(PixelBudget& budget, int64_t pixels) : budget_(budget), pixels_(pixels) {
    budget_.take(pixels_);
  }
  ~PixelLease() { budget_.give_back(pixels_); }
  PixelLease(const PixelLease&) = delete;
  PixelLease& operator=(const PixelLease&) = delete;

 private:
  PixelBudget& budget_;
  const int64_t pixels_;
};

}  // namespace data
