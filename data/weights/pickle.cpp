#include "data/weights/pickle.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>

#include "data/base/error.hpp"

namespace data {
namespace {

// Classes that trainers leave beside the tensors. Their values are dropped.
constexpr std::string_view kInert[] = {
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy.dtype",
    "numpy.ndarray",
    "_codecs.encode",
    "torch.Size",
    "torch.device",
    "argparse.Namespace",
    "collections.Counter",
    "collections.defaultdict",
    "collections.deque",
    "datetime.datetime",
    "datetime.timedelta",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "builtins.frozenset",
    "builtins.dict",
    "builtins.set",
    "torch.jit._pickle.build_intlist",
    "torch.jit._pickle.build_doublelist",
    "torch.jit._pickle.build_boollist",
    "torch.jit._pickle.build_tensorlist",
    "torch.jit._pickle.restore_type_tag",
    "__builtin__.set",
};
constexpr std::string_view kTensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kTypedTensor = "torch._utils._rebuild_tensor_v3";  // dtype beside it
constexpr std::string_view kParameter = "torch._utils._rebuild_parameter";
constexpr std::string_view kParameterWithState = "torch._utils._rebuild_parameter_with_state";
constexpr std::string_view kContainers[] = {"torch.nn.modules.container.ParameterDict",
                                            "torch.nn.modules.container.ParameterList"};
constexpr std::string_view kOrderedDict = "collections.OrderedDict";
constexpr size_t kMaxDepth = 1'000'000;   // values on the stack
constexpr size_t kMaxValues = 2'000'000;  // in all
// What constructors copy is bounded, as a pickle can name one long value again and again.
constexpr size_t kMaxName = 1000;  // letters of a name or a storage's key
constexpr size_t kMaxAxes = 64;    // of a tensor, as libtorch's

bool is_storage(std::string_view name) {
  return name.starts_with("torch.") && name.ends_with("Storage");
}
bool is_dtype(std::string_view name) {  // torch.float16: of tensors, in training states
  static constexpr std::string_view kTypes[] = {
      "float16",    "float32", "float64", "bfloat16", "int64",     "int32",         "int16",
      "int8",       "uint8",   "uint16",  "uint32",   "uint64",    "bool",          "complex64",
      "complex128", "half",    "float",   "double",   "complex32", "float8_e4m3fn", "float8_e5m2"};
  return name.starts_with("torch.") &&
         std::find(std::begin(kTypes), std::end(kTypes), name.substr(6)) != std::end(kTypes);
}
bool is_module(std::string_view name) {
  return name.starts_with("__torch__.") ||
         std::find(std::begin(kContainers), std::end(kContainers), name) != std::end(kContainers);
}
bool is_inert(std::string_view name) {
  return is_dtype(name) ||
         std::find(std::begin(kInert), std::end(kInert), name) != std::end(kInert);
}

// One pickle being read.
struct Machine {
  std::string_view bytes;
  const std::string& source;
  Pickle pickle{};
  size_t at = 0;
  std::vector<PickleRef> stack;
  std::vector<size_t> marks;  // heights of the stack
  std::map<uint64_t, PickleRef> memo;
  size_t copied = 0;  // entries of modules

  [[noreturn]] void malformed(const std::string& what) const {
    throw BadInput(source + ": malformed pickle at byte " + std::to_string(at) + ": " + what +
                   "; the file is damaged or was not written by torch.save");
  }

  std::string_view take(uint64_t count) {
    if (count > bytes.size() - at) malformed("it is cut off");
    at += count;
    return bytes.substr(at - count, count);
  }
  template <class T>
  T number() {  // little endian, as the format and every platform that libtorch supports
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string line() {
    const size_t end = bytes.find('\n', at);
    if (end == std::string_view::npos) malformed("it is cut off");
    const std::string text(take(end - at));
    ++at;
    return text;
  }

  template <class T>
  PickleRef make(T value) {
    if (pickle.values.size() >= kMaxValues) malformed("more values than a file of tensors holds");
    return &pickle.values.emplace_back(PickleValue{std::move(value)});
  }
  void push(PickleRef value) {
    if (stack.size() >= kMaxDepth) malformed("too many values at once");
    stack.push_back(std::move(value));
  }
  PickleRef pop() {
    if (stack.size() <= (marks.empty() ? 0 : marks.back())) malformed("a value is missing");
    PickleRef value = stack.back();
    stack.pop_back();
    return value;
  }
  PickleRef top() {
    PickleRef value = pop();
    stack.push_back(value);
    return value;
  }
  PickleList pop_mark() {
    if (marks.empty()) malformed("a mark is missing");
    PickleList items(stack.begin() + static_cast<std::ptrdiff_t>(marks.back()), stack.end());
    stack.resize(marks.back());
    marks.pop_back();
    return items;
  }
  template <class T>
  T& as(const PickleRef& value, const char* what) {
    T* found = std::get_if<T>(&value->value);
    if (!found) malformed("expected " + std::string(what));
    return *found;
  }
};

std::vector<int64_t> whole_numbers(Machine& m, const PickleRef& value) {
  std::vector<int64_t> numbers;
  const auto& list = m.as<PickleList>(value, "a tuple of whole numbers");
  if (list.size() > kMaxAxes) m.malformed("a tensor of more than 64 axes");
  for (const auto& item : list) numbers.push_back(m.as<int64_t>(item, "a whole number"));
  return numbers;
}

void push_name(Machine& m, const std::string& name) {
  if (name.size() > kMaxName) m.malformed("a name of more than 1000 letters");
  const bool known = name == kTensor || name == kTypedTensor || name == kParameter ||
                     name == kParameterWithState || name == kOrderedDict || is_storage(name) ||
                     is_inert(name) || is_module(name);
  if (!known) {
    throw BadInput(m.source + ": the pickle names " + name +
                   ", which is not part of a tensor: refused, nothing of it was run; " +
                   "use a .safetensors file, or one from a source that you trust to convert it");
  }
  m.push(m.make(PickleName{name}));
}

void push_storage(Machine& m) {
  const PickleRef id = m.pop();
  const auto& parts = m.as<PickleList>(id, "a storage");
  if (parts.size() < 5) m.malformed("expected a storage of five parts");
  const std::string type = m.as<PickleName>(parts[1], "a storage's type").text;
  const auto& key = m.as<std::string>(parts[2], "a storage's key");
  if (key.size() > kMaxName) m.malformed("a storage's key of more than 1000 letters");
  m.push(m.make(PickleStorage{.type = type.substr(type.rfind('.') + 1),
                              .key = key,
                              .elements = m.as<int64_t>(parts[4], "a storage's size")}));
}

// Applies a known name to its arguments.
PickleRef construct(Machine& m, const PickleRef& callee, const PickleRef& arguments) {
  if (std::holds_alternative<PickleOpaque>(callee->value)) return callee;
  const std::string& name = m.as<PickleName>(callee, "a known name").text;
  const auto& parts = m.as<PickleList>(arguments, "a tuple of arguments");
  if (name == kOrderedDict) return m.make(PickleDict{});
  if (is_module(name)) return m.make(PickleModule{});
  if ((name == kParameter || name == kParameterWithState) && !parts.empty()) return parts[0];
  if (name == kTensor || name == kTypedTensor) {
    if (parts.size() < (name == kTensor ? 4 : 7)) m.malformed("expected a tensor of more parts");
    const std::string type =
        name == kTensor ? "" : m.as<PickleName>(parts[6], "a type of numbers").text;
    return m.make(PickleTensor{.storage = m.as<PickleStorage>(parts[0], "a storage"),
                               .type = type.substr(type.rfind('.') + 1),
                               .offset = m.as<int64_t>(parts[1], "an offset"),
                               .shape = whole_numbers(m, parts[2]),
                               .strides = whole_numbers(m, parts[3])});
  }
  return m.make(PickleOpaque{name});
}

void set_items(Machine& m, const PickleRef& target, const PickleList& items) {
  if (std::holds_alternative<PickleOpaque>(target->value)) return;
  auto& dict = m.as<PickleDict>(target, "a dictionary");
  if (items.size() % 2) m.malformed("a key without a value");
  for (size_t i = 0; i < items.size(); i += 2) dict.push_back({items[i], items[i + 1]});
}

void append_items(Machine& m, const PickleRef& target, const PickleList& items) {
  if (std::holds_alternative<PickleOpaque>(target->value)) return;
  auto& list = m.as<PickleList>(target, "a list");
  list.insert(list.end(), items.begin(), items.end());
}

void take_attributes(Machine& m, PickleModule& module, const PickleDict& attributes) {
  m.copied += attributes.size();
  if (m.copied > kMaxValues) m.malformed("more attributes than a file of tensors holds");
  module.attributes = attributes;
}

// 1, 2, 4 or 8 bytes, of which 8 is the most that a number of ours holds
int64_t long_integer(Machine& m, uint64_t count) {
  const std::string_view digits = m.take(count);
  if (count > 8) return 0;  // beyond 64 bits: a seed or a hash, never a shape
  int64_t value = 0;
  for (size_t i = 0; i < count; ++i)
    value |= static_cast<int64_t>(static_cast<uint8_t>(digits[i])) << (8 * i);
  if (count > 0 && count < 8 && (digits.back() & 0x80)) value -= int64_t{1} << (8 * count);
  return value;
}

double big_endian_double(Machine& m) {
  std::string digits(m.take(8));
  std::reverse(digits.begin(), digits.end());
  double value;
  std::memcpy(&value, digits.data(), 8);
  return value;
}

PickleRef remembered(Machine& m, uint64_t key) {
  const auto found = m.memo.find(key);
  if (found == m.memo.end()) m.malformed("a remembered value is missing");
  return found->second;
}

void tuple_of(Machine& m, size_t count) {
  PickleList items(count);
  for (size_t i = count; i-- > 0;) items[i] = m.pop();
  m.push(m.make(std::move(items)));
}

using Instruction = std::function<void(Machine&)>;

// The names and codes are those of Python's pickletools.
std::map<uint8_t, Instruction> literals() {
  const auto text = [](auto count) {
    return [count](Machine& m) { m.push(m.make(std::string(m.take(count(m))))); };
  };
  const auto size8 = [](Machine& m) { return m.number<uint8_t>(); };
  const auto size32 = [](Machine& m) { return m.number<uint32_t>(); };
  const auto size64 = [](Machine& m) { return m.number<uint64_t>(); };
  return {
      {'N', [](Machine& m) { m.push(m.make(std::monostate{})); }},                       // NONE
      {0x88, [](Machine& m) { m.push(m.make(true)); }},                                  // NEWTRUE
      {0x89, [](Machine& m) { m.push(m.make(false)); }},                                 // NEWFALSE
      {'K', [](Machine& m) { m.push(m.make<int64_t>(m.number<uint8_t>())); }},           // BININT1
      {'M', [](Machine& m) { m.push(m.make<int64_t>(m.number<uint16_t>())); }},          // BININT2
      {'J', [](Machine& m) { m.push(m.make<int64_t>(m.number<int32_t>())); }},           // BININT
      {0x8a, [](Machine& m) { m.push(m.make(long_integer(m, m.number<uint8_t>()))); }},  // LONG1
      {'G', [](Machine& m) { m.push(m.make(big_endian_double(m))); }},                   // BINFLOAT
      {'X', text(size32)},                                       // BINUNICODE
      {0x8c, text(size8)},                                       // SHORT_BINUNICODE
      {0x8d, text(size64)},                                      // BINUNICODE8
      {'U', text(size8)},                                        // SHORT_BINSTRING
      {'T', text(size32)},                                       // BINSTRING
      {'C', text(size8)},                                        // SHORT_BINBYTES
      {'B', text(size32)},                                       // BINBYTES
      {')', [](Machine& m) { m.push(m.make(PickleList{})); }},   // EMPTY_TUPLE
      {']', [](Machine& m) { m.push(m.make(PickleList{})); }},   // EMPTY_LIST
      {0x8f, [](Machine& m) { m.push(m.make(PickleList{})); }},  // EMPTY_SET
      {'}', [](Machine& m) { m.push(m.make(PickleDict{})); }},   // EMPTY_DICT
      {0x85, [](Machine& m) { tuple_of(m, 1); }},                // TUPLE1
      {0x86, [](Machine& m) { tuple_of(m, 2); }},                // TUPLE2
      {0x87, [](Machine& m) { tuple_of(m, 3); }},                // TUPLE3
      {'t', [](Machine& m) { m.push(m.make(m.pop_mark())); }},   // TUPLE
      {'l', [](Machine& m) { m.push(m.make(m.pop_mark())); }},   // LIST
  };
}

std::map<uint8_t, Instruction> builders() {
  const auto items = [](auto apply) {
    return [apply](Machine& m) {
      const PickleList values = m.pop_mark();
      apply(m, m.top(), values);
    };
  };
  const auto name = [](Machine& m) {  // STACK_GLOBAL
    const PickleRef attribute = m.pop(), module = m.pop();
    push_name(m, m.as<std::string>(module, "a module's name") + "." +
                     m.as<std::string>(attribute, "a name"));
  };
  const auto call = [](Machine& m) {  // REDUCE, NEWOBJ
    const PickleRef arguments = m.pop(), callee = m.pop();
    m.push(construct(m, callee, arguments));
  };
  const auto remember = [](auto key) { return [key](Machine& m) { m.memo[key(m)] = m.top(); }; };
  const auto recall = [](auto key) { return [key](Machine& m) { m.push(remembered(m, key(m))); }; };
  const auto key8 = [](Machine& m) -> uint64_t { return m.number<uint8_t>(); };
  const auto key32 = [](Machine& m) -> uint64_t { return m.number<uint32_t>(); };
  return {
      {'(', [](Machine& m) { m.marks.push_back(m.stack.size()); }},            // MARK
      {'0', [](Machine& m) { m.pop(); }},                                      // POP
      {0x95, [](Machine& m) { m.take(8); }},                                   // FRAME
      {'q', remember(key8)},                                                   // BINPUT
      {'r', remember(key32)},                                                  // LONG_BINPUT
      {0x94, remember([](Machine& m) -> uint64_t { return m.memo.size(); })},  // MEMOIZE
      {'h', recall(key8)},                                                     // BINGET
      {'j', recall(key32)},                                                    // LONG_BINGET
      {'Q', push_storage},                                                     // BINPERSID
      {0x93, name},                                                            // STACK_GLOBAL
      {'R', call},                                                             // REDUCE
      {0x81, call},                                                            // NEWOBJ
      {'u', items(set_items)},                                                 // SETITEMS
      {'e', items(append_items)},                                              // APPENDS
      {0x90, items(append_items)},                                             // ADDITEMS
      {'c',
       [](Machine& m) {  // GLOBAL
         const std::string module = m.line();
         push_name(m, module + "." + m.line());
       }},
      {'s',
       [](Machine& m) {  // SETITEM
         const PickleRef value = m.pop(), key = m.pop();
         set_items(m, m.top(), {key, value});
       }},
      {'a',
       [](Machine& m) {  // APPEND
         const PickleRef value = m.pop();
         append_items(m, m.top(), {value});
       }},
      {'b',
       [](Machine& m) {  // BUILD; of a dictionary: attributes beside the items, such as _metadata
         const PickleRef state = m.pop(), target = m.top();
         if (auto* module = std::get_if<PickleModule>(&target->value))
           take_attributes(m, *module, m.as<PickleDict>(state, "a module's attributes"));
       }},
  };
}

const std::map<uint8_t, Instruction>& instructions() {
  static const auto all = [] {
    auto map = literals();
    map.merge(builders());
    return map;
  }();
  return all;
}

}  // namespace

Pickle read_pickle(std::string_view bytes, const std::string& source) {
  constexpr uint8_t kProto = 0x80, kStop = '.';
  Machine m{.bytes = bytes, .source = source, .stack = {}, .marks = {}, .memo = {}};
  if (m.number<uint8_t>() != kProto) m.malformed("no protocol");
  const auto protocol = m.number<uint8_t>();
  if (protocol < 2 || protocol > 5)
    m.malformed("protocol " + std::to_string(protocol) + " (expected 2 to 5)");
  for (;;) {
    const auto code = m.number<uint8_t>();
    if (code == kStop) {
      m.pickle.root = m.pop();
      return std::move(m.pickle);
    }
    const auto found = instructions().find(code);
    if (found == instructions().end())
      m.malformed("instruction " + std::to_string(code) + ", which files of tensors do not use");
    found->second(m);
  }
}

}  // namespace data
