#include "data/train/activation_checkpointing.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Stored for the backward pass, beside the tensors.
struct Kept : torch::CustomClassHolder {
  Block block;
  size_t inputs = 0;  // that many saved tensors are inputs, the others parameters
};

at::Tensor on_views(const Block& block, const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> views;
  for (const auto& input : inputs) views.push_back(at::alias(input));
  return block(views);
}

// tensors: the inputs, then the trained parameters
struct Recompute : torch::autograd::Function<Recompute> {
  static at::Tensor forward(AutogradContext* context,
                            const c10::intrusive_ptr<Kept>& kept,
                            at::TensorList tensors) {
    context->saved_data["kept"] = c10::IValue::make_capsule(kept);
    context->save_for_backward(tensors.vec());
    return kept->block(tensors.slice(0, kept->inputs).vec());  // Function records no graph here
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto kept =
        c10::static_intrusive_pointer_cast<Kept>(context->saved_data["kept"].toCapsule());
    variable_list leaves = context->get_saved_variables();
    variable_list inputs(leaves.begin(), leaves.begin() + static_cast<int64_t>(kept->inputs));
    for (size_t i = 0; i < kept->inputs; ++i)
      leaves[i] = inputs[i] = inputs[i].detach().requires_grad_(inputs[i].requires_grad());
    variable_list wanted, result{at::Tensor()};  // the first argument has no gradient
    std::copy_if(leaves.begin(), leaves.end(), std::back_inserter(wanted),
                 [](const at::Tensor& leaf) { return leaf.requires_grad(); });
    at::Tensor output;
    {
      const at::AutoGradMode with_graph(true);
      output = on_views(kept->block, inputs);
    }
    const variable_list found =
        torch::autograd::grad({output}, wanted, gradients, /*retain_graph=*/false,
                              /*create_graph=*/false, /*allow_unused=*/true);
    size_t next = 0;
    for (const auto& leaf : leaves)
      result.push_back(leaf.requires_grad() ? found[next++] : at::Tensor());
    return result;
  }
};

}  // namespace

at::Tensor run_block(bool checkpointing,
                     const Block& block,
                     const std::vector<at::Tensor>& inputs,
                     const std::vector<at::Tensor>& parameters) {
  if (!at::GradMode::is_enabled()) return block(inputs);
  if (!checkpointing) return on_views(block, inputs);
  std::vector<at::Tensor> tensors = inputs;
  std::copy_if(parameters.begin(), parameters.end(), std::back_inserter(tensors),
               [](const at::Tensor& tensor) { return tensor.defined() && tensor.requires_grad(); });
  const auto kept = c10::make_intrusive<Kept>();
  kept->block = block;
  kept->inputs = inputs.size();
  return Recompute::apply(kept, at::TensorList(tensors));
}

}  // namespace train
