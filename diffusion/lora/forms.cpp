#include "diffusion/lora/forms.hpp"

#include <ATen/ATen.h>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/weights/tensor_map.hpp"

namespace diffusion {
namespace {

using data::BadInput;
using Roles = std::map<std::string, at::Tensor>;

constexpr double kMostValues = 1 << 28;  // of a layer's weight

template <class... Parts>
struct Overload : Parts... {
  using Parts::operator()...;
};
template <class... Parts>
Overload(Parts...) -> Overload<Parts...>;  // clang 14 needs it

at::Tensor optional(const Roles& roles, const std::string& role) {
  const auto found = roles.find(role);
  return found == roles.end() ? at::Tensor() : found->second;
}

at::Tensor required(const Roles& roles, const std::string& role, const std::string& where) {
  const at::Tensor tensor = optional(roles, role);
  if (!tensor.defined())
    throw BadInput(where + ": '" + role + "' is missing beside '" + roles.begin()->first +
                   "'; half of a pair, the file is incomplete");
  return tensor;
}

// The rank that two factors share.
void check_rank(int64_t found,
                int64_t expected,
                const std::string& what,
                const std::string& where) {
  if (found == expected) return;
  throw BadInput(where + ": " + what + ": expected one rank, found " + std::to_string(expected) +
                 " and " + std::to_string(found) + "; the file is damaged");
}

void check_dims(const at::Tensor& tensor, const std::string& role, const std::string& where) {
  if (tensor.dim() == 2 || tensor.dim() == 4) return;
  throw BadInput(where + ": '" + role + "': expected 2 or 4 axes, found " +
                 data::shape_text(tensor.sizes()));
}

void check_matrix(const at::Tensor& tensor, const std::string& role, const std::string& where) {
  if (tensor.dim() == 2) return;
  throw BadInput(where + ": '" + role + "': expected a matrix, found " +
                 data::shape_text(tensor.sizes()));
}

// A Tucker core and its two factors: [r, s, k, k], [r, out], [s, in].
void check_core(const at::Tensor& core,
                const at::Tensor& a,
                const at::Tensor& b,
                const std::string& role,
                const std::string& where) {
  check_matrix(a, role + "'s first factor", where);
  check_matrix(b, role + "'s second factor", where);
  if (core.dim() != 4)
    throw BadInput(where + ": '" + role + "': expected 4 axes, found " +
                   data::shape_text(core.sizes()));
  check_rank(core.size(0), a.size(0), role + " and its first factor", where);
  check_rank(core.size(1), b.size(0), role + " and its second factor", where);
}

at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  return a.flatten(1).mm(b.flatten(1));
}

// core x_1 a x_2 b (Tucker). core: [r, r, k, k], a: [r, out], b: [r, in] -> [out, in, k, k]
at::Tensor tucker(const at::Tensor& core, const at::Tensor& a, const at::Tensor& b) {
  return at::einsum("ijkl,ip,jr->prkl", {core, a, b});
}

LowRank low_rank(const Roles& roles, const std::string& where) {
  LowRank pair{required(roles, "down", where), required(roles, "up", where)};
  check_dims(pair.down, "down", where);
  check_dims(pair.up, "up", where);
  if (const at::Tensor mid = optional(roles, "mid"); mid.defined()) {
    // up [out, r, 1, 1], mid [r, r, k, k], down [r, in, 1, 1]: mid and down make one.
    check_core(mid, pair.up.flatten(1).t(), pair.down.flatten(1), "mid", where);
    const double values = static_cast<double>(mid.numel() / mid.size(1)) *
                          static_cast<double>(pair.down.numel() / pair.down.size(0));
    if (values > kMostValues)
      throw BadInput(where +
                     ": 'mid': with 'down' it makes more values than a layer has; the file "
                     "is damaged");
    pair.down = at::einsum("mnkl,nj->mjkl", {mid, pair.down.flatten(1)});
  }
  check_rank(pair.up.size(1), pair.down.size(0), "down and up", where);
  if (pair.up.dim() == 4 && pair.up.size(2) * pair.up.size(3) != 1)
    throw BadInput(where + ": 'up': expected [out, rank, 1, 1], found " +
                   data::shape_text(pair.up.sizes()));
  return pair;
}

Hadamard hadamard(const Roles& roles, const std::string& where) {
  Hadamard w;
  w.w1_a = required(roles, "hada_w1_a", where);
  w.w1_b = required(roles, "hada_w1_b", where);
  w.w2_a = required(roles, "hada_w2_a", where);
  w.w2_b = required(roles, "hada_w2_b", where);
  w.t1 = optional(roles, "hada_t1");
  w.t2 = optional(roles, "hada_t2");
  if (w.t1.defined() != w.t2.defined()) {
    required(roles, "hada_t1", where);
    required(roles, "hada_t2", where);
  }
  for (const at::Tensor* tensor : {&w.w1_a, &w.w1_b, &w.w2_a, &w.w2_b})
    check_dims(*tensor, "hada_w", where);
  const int64_t axis = w.t1.defined() ? 0 : 1;
  if (w.t1.defined()) {
    check_core(w.t1, w.w1_a, w.w1_b, "hada_t1", where);
    check_core(w.t2, w.w2_a, w.w2_b, "hada_t2", where);
  } else {
    check_rank(w.w1_a.flatten(1).size(1), w.w1_b.size(0), "hada_w1_a and hada_w1_b", where);
    check_rank(w.w2_a.flatten(1).size(1), w.w2_b.size(0), "hada_w2_a and hada_w2_b", where);
  }
  const bool same_core = !w.t1.defined() || w.t1.sizes().slice(2).equals(w.t2.sizes().slice(2));
  if (w.w1_a.size(1 - axis) != w.w2_a.size(1 - axis) ||
      w.w1_b.sizes().slice(1) != w.w2_b.sizes().slice(1) || !same_core)
    throw BadInput(where + ": the two factors of LoHa are of different sizes; the file is damaged");
  return w;
}

Kronecker kronecker(const Roles& roles, const std::string& where) {
  Kronecker w;
  w.w1 = optional(roles, "lokr_w1");
  w.w2 = optional(roles, "lokr_w2");
  if (w.w1.defined()) check_matrix(w.w1, "lokr_w1", where);
  if (w.w2.defined()) check_dims(w.w2, "lokr_w2", where);
  if (!w.w1.defined()) {
    w.w1_a = required(roles, "lokr_w1_a", where);
    w.w1_b = required(roles, "lokr_w1_b", where);
    check_matrix(w.w1_a, "lokr_w1_a", where);
    check_matrix(w.w1_b, "lokr_w1_b", where);
    check_rank(w.w1_a.size(1), w.w1_b.size(0), "lokr_w1_a and lokr_w1_b", where);
  }
  if (!w.w2.defined()) {
    w.w2_a = required(roles, "lokr_w2_a", where);
    w.w2_b = required(roles, "lokr_w2_b", where);
    w.t2 = optional(roles, "lokr_t2");
    check_matrix(w.w2_a, "lokr_w2_a", where);
    check_dims(w.w2_b, "lokr_w2_b", where);
    if (w.t2.defined())
      check_core(w.t2, w.w2_a, w.w2_b, "lokr_t2", where);
    else
      check_rank(w.w2_a.size(1), w.w2_b.size(0), "lokr_w2_a and lokr_w2_b", where);
  }
  return w;
}

// Both factors of a Kronecker product, whole: [a, b] and [c, d, ...].
at::Tensor first_factor(const Kronecker& w) {
  return w.w1.defined() ? w.w1 : product(w.w1_a, w.w1_b);
}
at::Tensor second_factor(const Kronecker& w) {
  if (w.w2.defined()) return w.w2;
  if (w.t2.defined()) return tucker(w.t2, w.w2_a, w.w2_b);
  std::vector<int64_t> shape = w.w2_b.sizes().vec();
  shape[0] = w.w2_a.size(0);
  return product(w.w2_a, w.w2_b).view(shape);
}
// Its shape, without the product: a small file may name a large one.
std::vector<int64_t> second_shape(const Kronecker& w) {
  if (w.w2.defined()) return w.w2.sizes().vec();
  if (w.t2.defined()) return {w.w2_a.size(1), w.w2_b.size(1), w.t2.size(2), w.t2.size(3)};
  std::vector<int64_t> shape = w.w2_b.sizes().vec();
  shape[0] = w.w2_a.size(0);
  return shape;
}

void check_values(Roles& roles, const std::string& where) {
  for (auto& [role, tensor] : roles) {
    if (!tensor.is_floating_point())
      throw BadInput(where + ": '" + role + "': expected a floating-point type, found " +
                     std::string(toString(tensor.scalar_type())));
    if (tensor.dim() == 0 || tensor.numel() == 0)
      throw BadInput(where + ": '" + role + "': expected a matrix, found " +
                     data::shape_text(tensor.sizes()));
    tensor = tensor.to(at::kFloat);
    if (!data::all_finite(tensor))
      throw BadInput(where + ": '" + role +
                     "' holds NaN or infinite values; the file is damaged or its training "
                     "diverged, use an earlier one");
  }
}

std::variant<LowRank, Hadamard, Kronecker, Whole> form_of(const Roles& roles,
                                                          const std::string& where) {
  const std::string& first = roles.begin()->first;
  if (first.starts_with("hada_")) return hadamard(roles, where);
  if (first.starts_with("lokr_")) return kronecker(roles, where);
  if (first == "diff") return Whole{required(roles, "diff", where)};
  return low_rank(roles, where);
}

}  // namespace

LoraChange make_change(Roles roles, std::optional<double> alpha, const std::string& where) {
  if (roles.contains("dora_scale"))
    throw BadInput(where +
                   ": dora_scale: a DoRA (LoRA with magnitudes), which laurel does not read; give "
                   "a LoRA, LoHa or LoKr, or a checkpoint that it was merged into");
  if (const auto found = roles.find("alpha"); found != roles.end()) {
    if (found->second.numel() != 1)
      throw BadInput(where + ": alpha: expected one number, found " +
                     data::shape_text(found->second.sizes()));
    alpha = found->second.to(at::kDouble).item<double>();
    if (!std::isfinite(*alpha)) throw BadInput(where + ": alpha: expected a number, found NaN");
    roles.erase(found);
    if (roles.empty()) throw BadInput(where + ": has an alpha and no weights; it is incomplete");
  }
  check_values(roles, where);
  LoraChange change{form_of(roles, where), 1.0};
  const int64_t rank = change_rank(change);
  if (alpha && rank > 0) change.scale = *alpha / static_cast<double>(rank);
  return change;
}

at::Tensor dense_change(const LoraChange& change) {
  const at::Tensor dense =
      std::visit(Overload{[](const LowRank& w) {
                            std::vector<int64_t> shape = w.down.sizes().vec();
                            shape[0] = w.up.size(0);
                            return product(w.up, w.down).view(shape);
                          },
                          [](const Hadamard& w) {
                            if (w.t1.defined())
                              return tucker(w.t1, w.w1_a, w.w1_b) * tucker(w.t2, w.w2_a, w.w2_b);
                            return product(w.w1_a, w.w1_b) * product(w.w2_a, w.w2_b);
                          },
                          [](const Kronecker& w) {
                            at::Tensor one = first_factor(w);
                            const at::Tensor two = second_factor(w).contiguous();
                            while (one.dim() < two.dim()) one = one.unsqueeze(-1);
                            return at::kron(one, two);
                          },
                          [](const Whole& w) { return w.diff; }},
                 change.form);
  return change.scale * dense;
}

std::vector<int64_t> change_shape(const LoraChange& change) {
  return std::visit(
      Overload{
          [](const LowRank& w) {
            std::vector<int64_t> shape = w.down.sizes().vec();
            shape[0] = w.up.size(0);
            return shape;
          },
          [](const Hadamard& w) {
            if (!w.t1.defined()) return std::vector<int64_t>{w.w1_a.size(0), w.w1_b.size(1)};
            return std::vector<int64_t>{w.w1_a.size(1), w.w1_b.size(1), w.t1.size(2), w.t1.size(3)};
          },
          [](const Kronecker& w) {
            std::vector<int64_t> shape = second_shape(w);
            shape[0] *= w.w1.defined() ? w.w1.size(0) : w.w1_a.size(0);
            shape[1] *= w.w1.defined() ? w.w1.size(1) : w.w1_b.size(1);
            return shape;
          },
          [](const Whole& w) { return w.diff.sizes().vec(); }},
      change.form);
}

std::pair<int64_t, int64_t> flat_size(at::IntArrayRef shape) {
  int64_t rest = 1;
  for (const int64_t size : shape.slice(1)) rest *= size;
  return {shape[0], rest};
}

int64_t change_rank(const LoraChange& change) {
  return std::visit(Overload{[](const LowRank& w) { return w.down.size(0); },
                             [](const Hadamard& w) { return w.w1_b.size(0); },
                             [](const Kronecker& w) {
                               // As LyCORIS: of the second factor, then of the first.
                               if (w.w2_b.defined()) return w.w2_b.size(0);
                               return w.w1_b.defined() ? w.w1_b.size(0) : int64_t{0};
                             },
                             [](const Whole&) { return int64_t{0}; }},
                    change.form);
}

const char* change_name(const LoraChange& change) {
  return std::visit(
      Overload{[](const LowRank&) { return "LoRA"; }, [](const Hadamard&) { return "LoHa"; },
               [](const Kronecker&) { return "LoKr"; },
               [](const Whole&) { return "full difference"; }},
      change.form);
}

}  // namespace diffusion
