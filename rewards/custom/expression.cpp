#include "rewards/custom/expression.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <limits>
#include <map>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"
#include "data/unicode/utf8.hpp"
#include "rewards/loader/loader.hpp"

namespace rewards {

using Arguments = std::vector<at::Tensor>;
using Operation = std::function<at::Tensor(const Arguments&)>;

struct ExpressionNode {
  double number = 0;
  int fact = -1;    // its place among the names
  Operation apply;  // of the children
  std::vector<std::shared_ptr<const ExpressionNode>> children;
};

namespace {

using Node = std::shared_ptr<const ExpressionNode>;

struct Function {
  size_t fewest, most;
  Operation apply;
};

Operation folded(at::Tensor (*two)(const at::Tensor&, const at::Tensor&)) {
  return [two](const Arguments& x) {
    at::Tensor result = x[0];
    for (size_t i = 1; i < x.size(); ++i) result = two(result, x[i]);
    return result;
  };
}
Operation unary(at::Tensor (*one)(const at::Tensor&)) {
  return [one](const Arguments& x) { return one(x[0]); };
}

const std::map<std::string, Function>& functions() {
  constexpr size_t kAny = 1000;
  static const std::map<std::string, Function> table = {
      {"min", {2, kAny, folded(at::minimum)}},
      {"max", {2, kAny, folded(at::maximum)}},
      {"clamp",
       {3, 3, [](const Arguments& x) { return at::minimum(at::maximum(x[0], x[1]), x[2]); }}},
      {"abs", {1, 1, unary(at::abs)}},
      {"sqrt", {1, 1, unary(at::sqrt)}},
      {"exp", {1, 1, unary(at::exp)}},
      {"log", {1, 1, unary(at::log)}},
      {"tanh", {1, 1, unary(at::tanh)}},
      {"sigmoid", {1, 1, unary(at::sigmoid)}},
      {"relu", {1, 1, unary(at::relu)}}};
  return table;
}

// Limits of a formula: its text, its nodes, and what stands inside another. A tree of kMostNodes in
// a single line is still walked by recursion.
constexpr size_t kLongestText = 10000;
constexpr size_t kMostWords = 1000;
constexpr int kMostNodes = 1000, kDeepest = 200;
constexpr double kLargest = std::numeric_limits<float>::max();  // the rewards' type

// By recursive descent: sum <- product <- sign <- power <- atom.
struct Parser {
  const std::string& text;
  const std::string& where;
  size_t at = 0;
  int depth = 0, nodes = 0;
  std::vector<std::string> names{};
  std::vector<ExpressionTerm> terms{};  // of the outermost sum

  [[noreturn]] void refuse(const std::string& expected) const {
    throw data::BadInput(
        where + ": '" + data::shortened(text, 200) + "', place " + std::to_string(at + 1) +
        ": expected " + expected + ", found " +
        (at < text.size() ? "'" + data::shortened(text.substr(at), 12) + "'" : "its end"));
  }
  void skip_space() {
    while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at]))) ++at;
  }
  bool take(char sign) {
    skip_space();
    if (at == text.size() || text[at] != sign) return false;
    ++at;
    return true;
  }
  void require(char sign) {
    if (!take(sign)) refuse("'" + std::string(1, sign) + "'");
  }

  Node node(Operation apply, std::vector<Node> children) {
    count();
    return std::make_shared<ExpressionNode>(
        ExpressionNode{.apply = std::move(apply), .children = std::move(children)});
  }
  void count() {
    if (++nodes > kMostNodes)
      refuse("at most " + std::to_string(kMostNodes) + " numbers, names and operations");
  }

  Node sum() {
    if (++depth > kDeepest) refuse("fewer brackets inside brackets");
    Node left = term();
    for (;;) {
      if (take('+'))
        left = node([](const Arguments& x) { return x[0] + x[1]; }, {left, term()});
      else if (take('-'))
        left = node([](const Arguments& x) { return x[0] - x[1]; }, {left, term()});
      else
        break;
    }
    --depth;
    return left;
  }
  Node term() {
    skip_space();
    const size_t start = at;
    const Node value = product();
    if (depth == 1) terms.push_back({data::trimmed(text.substr(start, at - start)), value});
    return value;
  }
  Node product() {
    Node left = sign();
    for (;;) {
      if (take('*'))
        left = node([](const Arguments& x) { return x[0] * x[1]; }, {left, sign()});
      else if (take('/'))
        left = node([](const Arguments& x) { return x[0] / x[1]; }, {left, sign()});
      else
        return left;
    }
  }
  Node sign() {
    bool negative = false;
    while (take('-')) negative = !negative;
    const Node value = power();
    return negative ? node([](const Arguments& x) { return -x[0]; }, {value}) : value;
  }
  Node power() {
    const Node base = atom();
    if (!take('^')) return base;
    if (++depth > kDeepest) refuse("fewer powers of powers");
    const Node exponent = sign();
    --depth;
    return node([](const Arguments& x) { return at::pow(x[0], x[1]); }, {base, exponent});
  }
  Node atom() {
    skip_space();
    if (take('(')) {
      const Node inner = sum();
      require(')');
      return inner;
    }
    const char first = at < text.size() ? text[at] : '\0';
    if (std::isdigit(static_cast<unsigned char>(first)) || first == '.') return number();
    if (std::isalpha(static_cast<unsigned char>(first)) || first == '_') return name();
    refuse("a number, a name or '('");
  }
  Node number() {
    count();
    ExpressionNode result;
    const auto [end, error] =
        std::from_chars(text.data() + at, text.data() + text.size(), result.number);
    if (error != std::errc()) refuse("a number");
    if (result.number > kLargest) refuse("a number of at most 3.4e38");
    at = static_cast<size_t>(end - text.data());
    return std::make_shared<ExpressionNode>(result);
  }
  Node name() {
    const size_t start = at;
    while (at < text.size() && (std::isalnum(static_cast<unsigned char>(text[at])) ||
                                text[at] == '_' || text[at] == '.'))
      ++at;
    if (text.compare(at, 2, ":\"") == 0) skip_words();
    const std::string word = text.substr(start, at - start);
    if (take('(')) return call(word, start);
    count();
    const auto known = std::find(names.begin(), names.end(), word);
    ExpressionNode result;
    result.fact = static_cast<int>(known - names.begin());
    if (known == names.end()) names.push_back(word);
    return std::make_shared<ExpressionNode>(result);
  }
  void skip_words() {
    const size_t end = text.find('"', at + 2);
    if (end == std::string::npos || end == at + 2) refuse("words between two quotation marks");
    if (end - at - 2 > kMostWords)
      refuse("at most " + std::to_string(kMostWords) + " bytes of words");
    at = end + 1;
  }
  Node call(const std::string& word, size_t start) {
    std::vector<Node> children{sum()};
    while (take(',')) children.push_back(sum());
    require(')');
    const auto found = functions().find(word);
    std::string all;
    for (const auto& [known, function] : functions()) all += (all.empty() ? "" : ", ") + known;
    if (found == functions().end()) {
      at = start;
      refuse("one of the functions " + all);
    }
    const Function& function = found->second;
    if (children.size() < function.fewest || children.size() > function.most) {
      at = start;
      refuse(word + " with " + std::to_string(function.fewest) +
             (function.most > function.fewest ? " or more" : "") + " arguments");
    }
    return node(function.apply, std::move(children));
  }
};

at::Tensor value_of(const ExpressionNode& at_node, const Arguments& values) {
  if (at_node.fact >= 0) return values[static_cast<size_t>(at_node.fact)];
  if (at_node.children.empty())
    return at::scalar_tensor(at_node.number,
                             values.empty() ? at::TensorOptions(at::kFloat) : values[0].options());
  Arguments children;
  for (const auto& child : at_node.children) children.push_back(value_of(*child, values));
  return at_node.apply(children);
}

}  // namespace

Expression parse_expression(const std::string& text, const std::string& where) {
  if (text.size() > kLongestText)
    throw data::BadInput(where + ": expected a formula of at most " + std::to_string(kLongestText) +
                         " characters, found " + std::to_string(text.size()));
  Parser parser{.text = text, .where = where};
  Expression expression{.text = text, .names = {}, .root = parser.sum(), .terms = {}};
  parser.skip_space();
  if (parser.at != text.size()) parser.refuse("an operator or the end");
  expression.names = parser.names;
  expression.terms = parser.terms;
  if (expression.names.empty())
    throw data::BadInput(where + ": '" + data::shortened(text, 200) +
                         "': expected the name of a reward in it");
  return expression;
}

std::string formula_functions() {
  constexpr std::array<const char*, 4> kArguments = {"", "x", "x, y", "x, y, z"};
  std::string all;
  for (const auto& [name, function] : functions())
    all += (all.empty() ? "" : ", ") + name + "(" + kArguments.at(function.fewest) +
           (function.most > function.fewest ? ", ..)" : ")");
  return all;
}

FormulaPart formula_part(const std::string& name) {
  const size_t colon = name.find(":\"");
  if (colon == std::string::npos) return {name, std::nullopt};
  return {name.substr(0, colon), name.substr(colon + 2, name.size() - colon - 3)};
}

Reward with_words(const Reward& reward, const std::string& words) {
  if (!reward.info.needs_prompt)
    throw data::BadInput("reward " + reward.info.name + ":\"" + data::shortened(words, 60) +
                         "\": " + reward.info.name + " reads no prompt; leave the words out");
  Reward result = reward;
  result.info.name += ":\"" + words + "\"";
  result.info.needs_prompt = false;
  result.score = [score = reward.score, words](const RewardBatch& batch) {
    RewardBatch told = batch;
    told.prompts.assign(static_cast<size_t>(batch.images.size(0)), words);
    return score(told);
  };
  result.disagreement = {};
  return result;
}

at::Tensor evaluate(const Expression& expression, const std::vector<at::Tensor>& values) {
  TORCH_CHECK(values.size() == expression.names.size(), "evaluate: expected ",
              expression.names.size(), " facts, got ", values.size());
  return value_of(*expression.root, values).expand_as(values[0]);
}

std::vector<at::Tensor> evaluate_terms(const Expression& expression,
                                       const std::vector<at::Tensor>& values) {
  TORCH_CHECK(values.size() == expression.names.size(), "evaluate_terms: expected ",
              expression.names.size(), " facts, got ", values.size());
  std::vector<at::Tensor> results;
  for (const auto& term : expression.terms)
    results.push_back(value_of(*term.root, values).expand_as(values[0]));
  return results;
}

Reward expression_reward(const std::string& name,
                         const Expression& expression,
                         const std::vector<Reward>& facts) {
  constexpr int64_t kPoints = 256;
  auto generator = at::detail::createCPUGenerator(0);
  std::vector<at::Tensor> points;
  RewardInfo info{
      .name = name, .unit = "expression", .differentiable = true, .description = expression.text};
  for (const auto& fact : facts) {
    points.push_back(at::empty({kPoints}).uniform_(fact.info.low, fact.info.high, generator));
    info.needs_prompt |= fact.info.needs_prompt;
    info.differentiable &= fact.info.differentiable;
  }
  const at::Tensor sampled = evaluate(expression, points);
  const at::Tensor finite = sampled.masked_select(sampled.isfinite());
  if (finite.numel() == 0)
    throw data::BadInput("reward " + name + ": '" + expression.text +
                         "': not a finite number anywhere in the usual range of its parts");
  info.low = finite.min().item<double>();
  info.high = finite.max().item<double>();
  const auto score = [expression, facts](const RewardBatch& batch) {
    std::vector<at::Tensor> values;
    for (const auto& fact : facts) values.push_back(fact.score(batch));
    return evaluate(expression, values);
  };
  return {.info = info, .score = score};
}

const FamilyEntry kExpressionFamily{
    .name = "expression",
    .parts =
        [](const RewardSpec& spec) {
          return parse_expression(spec.argument, "reward " + spec.name).names;
        },
    .make =
        [](const RewardSpec& spec, RewardLoader& loader) {
          const Expression expression = parse_expression(spec.argument, "reward " + spec.name);
          return expression_reward(spec.name, expression,
                                   loader.make_parts(spec.name, expression.names));
        }};

}  // namespace rewards
