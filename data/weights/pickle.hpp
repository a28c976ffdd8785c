#pragma once

// Python's pickle, as far as files of tensors use it. Nothing that a pickle names is ever run: the
// few constructors that tensors need are known here, a few classes that trainers leave beside them
// become inert values, and any other name is refused.

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace data {

struct PickleValue;
using PickleRef = PickleValue*;  // into a Pickle, which owns it

// A reference to a storage, from torch's persistent ids ("storage", type, key, device, elements).
struct PickleStorage {
  std::string type;  // "FloatStorage"
  std::string key;   // its file in the archive
  int64_t elements = 0;
};
struct PickleTensor {
  PickleStorage storage;
  std::string type;    // "float32" where the storage is untyped; "": as the storage's
  int64_t offset = 0;  // elements
  std::vector<int64_t> shape, strides;
};
struct PickleName {  // a class or function that was named
  std::string text;  // "torch._utils._rebuild_tensor_v2"
};
struct PickleOpaque {  // an inert value
  std::string name;    // the class that it would have been
};
using PickleList = std::vector<PickleRef>;  // lists and tuples
using PickleDict = std::vector<std::pair<PickleRef, PickleRef>>;

struct PickleModule {     // of a TorchScript archive, as torch.jit.save writes; a ParameterDict
  PickleDict attributes;  // by name; its code is never looked at
};

struct PickleValue {
  std::variant<std::monostate,
               bool,
               int64_t,
               double,
               std::string,
               PickleList,
               PickleDict,
               PickleStorage,
               PickleTensor,
               PickleName,
               PickleOpaque,
               PickleModule>
      value;
};

// All values of a pickle; they may hold each other, and themselves.
struct Pickle {
  std::deque<PickleValue> values{};
  PickleRef root = nullptr;
};

// `source` is named in messages. Throws BadInput when the pickle is cut off or malformed, holds
// more than two million values, uses an instruction that tensor files do not, or names what is not
// known (the name is in the message).
Pickle read_pickle(std::string_view bytes, const std::string& source);

}  // namespace data
