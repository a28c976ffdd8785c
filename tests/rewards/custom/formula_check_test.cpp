#include "rewards/custom/formula_check.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

namespace {

using rewards::parse_expression;

// Of four pictures. a: variance 1.25, b: variance 125
const at::Tensor a = at::tensor({1.0, 2.0, 3.0, 4.0}), b = at::tensor({40.0, 10.0, 30.0, 20.0});

std::string fault(const std::string& text) {
  const auto expression = parse_expression(text, "test");
  std::vector<at::Tensor> values;
  for (const auto& name : expression.names) values.push_back(name == "a" ? a : b);
  return rewards::formula_fault(expression, values);
}

TEST(FormulaCheck, TermsAreThoseOfTheOutermostSum) {
  const auto expression = parse_expression("2*a - min(a + b, 3) + -(a - b)*b", "test");
  ASSERT_EQ(expression.terms.size(), 3u);
  EXPECT_EQ(expression.terms[0].text, "2*a");
  EXPECT_EQ(expression.terms[1].text, "min(a + b, 3)");
  EXPECT_EQ(expression.terms[2].text, "-(a - b)*b");
  const auto terms = rewards::evaluate_terms(expression, {a, b});
  EXPECT_TRUE(at::equal(terms[0], 2 * a));
  EXPECT_TRUE(at::equal(terms[1], at::full({4}, 3.0)));
  EXPECT_TRUE(at::allclose(terms[0] - terms[1] + terms[2], rewards::evaluate(expression, {a, b})));
}

TEST(FormulaCheck, SharesAreByHand) {
  const auto shares = rewards::term_shares(parse_expression("10*a - b + 1", "test"), {a, b});
  ASSERT_EQ(shares.size(), 3u);
  EXPECT_NEAR(shares[0], 0.5, 1e-6);
  EXPECT_NEAR(shares[1], 0.5, 1e-6);
  EXPECT_EQ(shares[2], 0);
}

TEST(FormulaCheck, PassesWhatTellsPicturesApart) {
  EXPECT_EQ(fault("10*a + b"), "");
  EXPECT_EQ(fault("a"), "");          // a single term
  EXPECT_EQ(fault("5 - a"), "");      // and one beside a number
  EXPECT_EQ(fault("2.3*a + b"), "");  // 94.97 %
}

TEST(FormulaCheck, RefusesATermThatOwnsTheVariance) {
  const std::string said = fault("2.2*a + b");  // 95.4 %
  EXPECT_NE(said.find("'b'"), std::string::npos) << said;
  EXPECT_NE(said.find("95.4 %"), std::string::npos) << said;
}

TEST(FormulaCheck, RefusesAConstant) {
  EXPECT_NE(fault("0*a + 7").find("same value, 7"), std::string::npos);
  EXPECT_NE(fault("clamp(b, 0, 1)").find("same value, 1"), std::string::npos);
}

TEST(FormulaCheck, RefusesWhatIsOftenNotFinite) {
  EXPECT_NE(fault("log(a - 1)").find("25 %"), std::string::npos);  // minus infinity on the first
  EXPECT_NE(fault("log(-b)").find("100 %"), std::string::npos);
  at::Tensor many = at::arange(10, at::kDouble).clone();
  many[0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(rewards::formula_fault(parse_expression("x", "test"), {many}), "");
}

}  // namespace
