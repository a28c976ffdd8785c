#pragma once

// Where the ranks meet: c10d's store. For ranks.cpp, whose connections begin here.

#include <chrono>
#include <string>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "finetune/distributed/process_group.hpp"

namespace finetune {

using Milliseconds = std::chrono::milliseconds;
using StorePointer = c10::intrusive_ptr<c10d::Store>;

Milliseconds milliseconds(double seconds);

std::string text_of(const std::vector<uint8_t>& bytes);
void put(c10d::Store& store, const std::string& key, const std::string& value);
std::string key_of(const char* what, int64_t rank);  // "left/3"
std::vector<std::string> keys_of(const char* what, int64_t count);
std::string rank_name(int64_t rank, int64_t count);  // "rank 3 of 4"

// Rank 0 opens it (torchrun's agent has done so), the others find it. Throws BadInput when nobody
// listens within `seconds`, or the port is taken.
StorePointer open_store(const Launch& launch, double seconds);

// Leaves this rank's "place/", "sign/" and "facts/" in the store and waits until rank 0 has seen
// those of all. Throws as meet.
void check_in(c10d::Store& store,
              const Launch& launch,
              const std::string& facts,
              const ProcessGroupTimeouts& limits);

}  // namespace finetune
