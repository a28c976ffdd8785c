#pragma once

// The names that the original code of transformers gives to their tensors, in diffusers' terms.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace diffusion {

// What a tensor of the original code stands for.
struct OriginalRows {
  // diffusers' tensors whose rows, one after the other, are its rows: one, or several, such as
  // queries, keys and values of an attention. Empty: it is no tensor of the transformer.
  std::vector<std::string> names{};
  // The shares of the rows that each of several has, in units of the first's; empty: equal ones.
  std::vector<int64_t> shares{};
  // The original's rows are shift, scale; diffusers' are scale, shift.
  bool swapped_halves = false;
};
// The rows of each of several names. rows: of all. Empty when they do not divide.
std::vector<int64_t> row_counts(const OriginalRows& original, int64_t rows);

// original: a tensor's name without "model.diffusion_model.", or a module's path. blocks: of the
// network's first kind, as mmdit_rows. The rows of any architecture that laurel knows; no name
// means different things in two of them.
OriginalRows transformer_rows(const std::string& original, int64_t blocks);

// Parts of such tables.

// A module of the original code and diffusers' modules that its rows are.
struct OriginalModule {
  std::string_view original;
  std::array<const char*, 4> names;  // the last ones nullptr
};
// "attn.qkv" of "attn.qkv.weight", and what follows it.
struct ModuleAndEnd {
  std::string_view module, end;
};
ModuleAndEnd module_and_end(std::string_view name);
// diffusers' names of a module in the table, with `before` in front of each; empty: not in it.
std::vector<std::string> names_in(const std::vector<OriginalModule>& table,
                                  const ModuleAndEnd& original,
                                  const std::string& before);
// "<blocks><number>.<rest>"; number -1: of another form.
struct NumberedName {
  int64_t number = -1;
  std::string_view rest{};
};
NumberedName numbered_name(std::string_view name, std::string_view blocks);

}  // namespace diffusion
