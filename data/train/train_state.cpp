#include "data/train/train_state.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/shape.hpp"
#include "data/weights/safetensors.hpp"

namespace train {
namespace {

// Visits every tensor of the state by its name in the file.
void visit(TrainState& state, const data::TensorVisitor& visitor) {
  for (size_t i = 0; i < state.params.size(); ++i) {
    at::Tensor value = state.params[i].value.detach();
    const std::string& name = state.params[i].name;
    visitor("param." + name, value);
    if (!state.adamw.exp_avg.empty()) {
      visitor("exp_avg." + name, state.adamw.exp_avg[i]);
      visitor("exp_avg_sq." + name, state.adamw.exp_avg_sq[i]);
    }
    if (!state.ema.shadow.empty()) visitor("ema." + name, state.ema.shadow[i]);
  }
  if (state.adamw.step.defined()) visitor("adamw_step", state.adamw.step);
}

}  // namespace

void save_state(const std::filesystem::path& path, const TrainState& state) {
  data::Weights file;
  TrainState view = state;
  visit(view, [&](const std::string& name, at::Tensor& tensor) { file.tensors[name] = tensor; });
  if (state.generator.defined()) file.tensors["generator"] = state.generator.get_state();
  file.metadata = state.metadata;
  file.metadata["ema_updates"] = std::to_string(state.ema.updates);
  data::write_safetensors(path, file);
}

void load_state(const std::filesystem::path& path, TrainState& state) {
  const data::Weights file = data::read_safetensors(path);
  visit(state, [&](const std::string& name, at::Tensor& tensor) {
    const auto found = file.tensors.find(name);
    if (found == file.tensors.end() || found->second.sizes() != tensor.sizes()) {
      throw data::BadInput(path.string() + ": training state: tensor " + name + " " +
                           data::shape_text(tensor.sizes()) +
                           " is missing or has another shape; a run with another configuration " +
                           "wrote the file: start in a new folder");
    }
    tensor.copy_(found->second);
  });
  if (state.generator.defined()) {
    const auto found = file.tensors.find("generator");
    const at::Tensor own = state.generator.get_state();
    if (found == file.tensors.end() || found->second.sizes() != own.sizes() ||
        found->second.scalar_type() != own.scalar_type())
      throw data::BadInput(path.string() +
                           ": expected a training state with a generator, found "
                           "none; start in a new folder");
    state.generator.set_state(found->second);
  }
  state.metadata = file.metadata;
  state.ema.updates = data::noted_number<int64_t>(file.metadata, "ema_updates", path.string());
}

}  // namespace train
