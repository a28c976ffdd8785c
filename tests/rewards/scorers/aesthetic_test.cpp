#include "rewards/scorers/aesthetic.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "data/base/error.hpp"
#include "data/train/optimizers.hpp"
#include "tests/support/gradient_check.hpp"

namespace {

using rewards::AestheticForm;

data::Weights weights_of(rewards::AestheticHead head) {
  data::Weights weights{.tensors = {}, .metadata = {}, .source = "head.safetensors"};
  for_each_tensor(head, "", [&](const std::string& name, at::Tensor& tensor) {
    weights.tensors[name] = tensor;
  });
  return weights;
}

rewards::AestheticHead drawn_head(AestheticForm form, int64_t width) {
  auto generator = at::detail::createCPUGenerator(7);
  return rewards::make_aesthetic(form, width, generator);
}

at::Tensor embeddings(int64_t batch, int64_t width) {
  auto generator = at::detail::createCPUGenerator(8);
  const auto x = at::randn({batch, width}, generator);
  return x / x.norm(2, 1, true);
}

std::string names_in(const data::Weights& weights) {
  std::string names;
  for (const auto& [name, tensor] : weights.tensors) {
    if (name.ends_with("weight")) names += name + " ";
  }
  return names;
}

TEST(Aesthetic, FormsHaveTheReleasedNamesAndSizes) {
  EXPECT_EQ(names_in(weights_of(drawn_head(AestheticForm::kLinear, 6))), "weight ");
  EXPECT_EQ(names_in(weights_of(drawn_head(AestheticForm::kLinearMlp, 6))),
            "layers.0.weight layers.2.weight layers.4.weight layers.6.weight layers.7.weight ");
  EXPECT_EQ(names_in(weights_of(drawn_head(AestheticForm::kReluMlp, 6))),
            "layers.0.weight layers.11.weight layers.3.weight layers.6.weight layers.9.weight ");
  const auto weights = weights_of(drawn_head(AestheticForm::kLinearMlp, 768));
  EXPECT_EQ(weights.tensors.at("layers.0.weight").sizes(), at::IntArrayRef({1024, 768}));
  EXPECT_EQ(weights.tensors.at("layers.7.weight").sizes(), at::IntArrayRef({1, 16}));
}

TEST(Aesthetic, LoadsWhatWasSaved) {
  for (const auto form :
       {AestheticForm::kLinear, AestheticForm::kLinearMlp, AestheticForm::kReluMlp}) {
    const auto head = drawn_head(form, 6);
    const auto loaded = rewards::take_aesthetic(weights_of(head));
    EXPECT_EQ(loaded.form, form);
    EXPECT_TRUE(at::equal(rewards::aesthetic_forward(loaded, embeddings(3, 6)),
                          rewards::aesthetic_forward(head, embeddings(3, 6))));
  }
}

TEST(Aesthetic, TheLinearFormByHand) {
  data::Weights weights{
      .tensors = {{"weight", at::tensor({2.0f, -1.0f}).view({1, 2})}, {"bias", at::tensor({5.0f})}},
      .metadata = {},
      .source = "v1"};
  const auto score = rewards::aesthetic_forward(rewards::take_aesthetic(weights),
                                                at::tensor({0.6f, 0.8f}).view({1, 2}));
  EXPECT_NEAR(score.item<double>(), 5.4, 1e-6);
}

TEST(Aesthetic, OnlyTheReluFormIsNotAffine) {
  const auto a = embeddings(1, 6), b = embeddings(2, 6).slice(0, 1);
  for (const auto form : {AestheticForm::kLinearMlp, AestheticForm::kReluMlp}) {
    const auto head = drawn_head(form, 6);
    const auto f = [&](const at::Tensor& x) {
      return rewards::aesthetic_forward(head, x).item<double>();
    };
    const double bend = f(10 * a) + f(10 * b) - 2 * f(5 * (a + b));
    if (form == AestheticForm::kLinearMlp)
      EXPECT_NEAR(bend, 0, 1e-5);
    else
      EXPECT_GT(std::abs(bend), 1e-3);
  }
}

TEST(Aesthetic, GradientAgreesWithDifferences) {
  auto head = drawn_head(AestheticForm::kReluMlp, 6);
  for_each_tensor(head, "",
                  [](const std::string&, at::Tensor& tensor) { tensor = tensor.to(at::kDouble); });
  const auto f = [&](const at::Tensor& x) { return rewards::aesthetic_forward(head, x).sum(); };
  EXPECT_LT(gradient_error(f, embeddings(2, 6).to(at::kDouble)), 1e-6);
}

TEST(Aesthetic, TrainingDropoutKeepsTheMean) {
  const auto head = drawn_head(AestheticForm::kLinearMlp, 6);
  auto generator = at::detail::createCPUGenerator(9);
  const auto x = embeddings(1, 6).expand({4000, 6});
  const auto dropped = rewards::aesthetic_forward_training(head, x, generator);
  EXPECT_GT(dropped.std().item<double>(), 0);
  const double error = dropped.std().item<double>() / std::sqrt(4000.0);
  EXPECT_NEAR(dropped.mean().item<double>(), rewards::aesthetic_forward(head, x)[0].item<double>(),
              5 * error);
}

TEST(Aesthetic, RefusesOtherFiles) {
  data::Weights weights{.tensors = {{"conv.weight", at::zeros({1, 2})}},
                        .metadata = {},
                        .source = "other.safetensors"};
  EXPECT_THROW(rewards::take_aesthetic(weights), data::BadInput);
  auto broken = weights_of(drawn_head(AestheticForm::kLinearMlp, 6));
  broken.tensors["layers.2.weight"] = at::zeros({128, 512});
  EXPECT_THROW(rewards::take_aesthetic(broken), data::BadInput);
  EXPECT_THROW(
      rewards::aesthetic_forward(drawn_head(AestheticForm::kLinearMlp, 6), at::zeros({1, 7})),
      c10::Error);
}

}  // namespace
