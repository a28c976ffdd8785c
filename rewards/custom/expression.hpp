#pragma once

// A formula of other rewards: "0.7*clip_score + min(colourfulness, 3) - 2*jpeg_kb/100".
//   numbers; names; name:"words", a reward that reads a prompt, told these words for every image;
//   + - * / ^ (right to left), unary -, ( )
//   min(a, b, ...) max(a, b, ...) clamp(x, low, high) abs sqrt exp log tanh sigmoid relu

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rewards/loader/entry.hpp"
#include "rewards/reward.hpp"

namespace rewards {

struct ExpressionNode;  // of the parsed tree
struct ExpressionTerm {
  std::string text;  // without its sign
  std::shared_ptr<const ExpressionNode> root;
};
struct Expression {
  std::string text;
  std::vector<std::string> names;  // of the facts, each once, as they first occur
  std::shared_ptr<const ExpressionNode> root;
  std::vector<ExpressionTerm> terms;  // whose sum or difference it is; at least one
};

// Throws BadInput with `where`, the position and what was expected there, for a syntax error, an
// unknown function, a wrong number of arguments, or a formula of more than 10,000 characters, 1,000
// numbers, names and operations, or 200 brackets or powers inside one another.
Expression parse_expression(const std::string& text, const std::string& where);

// The functions and their arguments, for people: "abs(x), clamp(x, y, z), max(x, y, ..)".
std::string formula_functions();

// A part of a formula: a reward, and the words that it is told instead of each image's prompt.
struct FormulaPart {
  std::string reward;
  std::optional<std::string> words;
};
// Of one of Expression::names.
FormulaPart formula_part(const std::string& name);
// The reward with the same words for every image. Throws BadInput where it reads no prompt.
Reward with_words(const Reward& reward, const std::string& words);

// values: one [B] for each of expression.names -> [B]; differentiable.
at::Tensor evaluate(const Expression& expression, const std::vector<at::Tensor>& values);
// The same of each of expression.terms, without its sign.
std::vector<at::Tensor> evaluate_terms(const Expression& expression,
                                       const std::vector<at::Tensor>& values);

// The value of an expression as a reward; facts: one for each of expression.names. Its usual range
// is taken from 256 points of the facts' ranges, seed 0. Throws BadInput when it is finite at none.
Reward expression_reward(const std::string& name,
                         const Expression& expression,
                         const std::vector<Reward>& facts);

extern const FamilyEntry kExpressionFamily;  // NAME=FORMULA

}  // namespace rewards
