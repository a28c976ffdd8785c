#include "finetune/forward/gradient.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "data/device/transfer.hpp"

namespace finetune {
namespace {

// The entries of these rows, a row's draws side by side.
std::vector<NoisedEntry> entries_of(const ForwardLabels& labels,
                                    const NoiseDraws& draws,
                                    const RowShard& share) {
  TORCH_CHECK(draws.rows() == static_cast<int64_t>(labels.rows.size()),
              "forward gradient: draws of ", draws.rows(), " rows, labels of ", labels.rows.size());
  std::vector<NoisedEntry> entries;
  for (const int64_t row : share.rows) {
    for (int64_t s = 0; s < draws.count(); ++s)
      entries.push_back({labels.rows[static_cast<size_t>(row)], row, s});
  }
  return entries;
}

// The values of a table at these timesteps. table: [num_train_timesteps]; t: [b]
at::Tensor at_times(const at::Tensor& table, const at::Tensor& t) {
  return data::to_device(table, t.device()).index_select(0, t);
}

// What the functions of one gradient share.
struct ForwardWork {
  const ForwardMethod& method;
  const ForwardPass& pass;
  const CleanImages& images;
  const ForwardLabels& labels;
  const NoiseDraws& draws;
  const RowShard& share;
  std::vector<NoisedEntry> entries;  // of this rank, a row's draws side by side

  int64_t own() const { return static_cast<int64_t>(entries.size()); }
  double total() const { return static_cast<double>(draws.t.numel()); }
  int64_t dimensions() const { return images.latents[0].numel(); }
};

// The scalars of some entries, [b] fp64 each, those of the network in training with their graph
// where gradients are on. compares: with the other network too, where there is one.
struct EntryTerms {
  Scalars now;
  at::Tensor compared;  // undefined: none
  at::Tensor x0_scale;
};
EntryTerms entry_terms(const ForwardWork& work, int64_t start, int64_t count, bool compares) {
  const ForwardPass& pass = work.pass;
  const std::vector<NoisedEntry> some(work.entries.begin() + start,
                                      work.entries.begin() + start + count);
  const NoisedBatch batch = noised_batch(pass.schedule, work.images, work.draws, some, pass.device);
  NetworkOutputs outputs{.now = {}, .compared = {}, .target = batch.target};
  compares = compares && pass.compared;
  if (compares) {
    const at::NoGradGuard no_gradient;
    outputs.compared = pass.compared(batch.x, batch.t, batch.prompts);
  }
  outputs.now = pass.network(batch.x, batch.t, batch.prompts);
  const at::Tensor weight = at_times(pass.weights, batch.t);
  EntryTerms terms{work.method.scalars(outputs), {}, at_times(pass.x0_scales, batch.t)};
  for (auto& scalar : terms.now) scalar = weight * scalar;
  if (compares) terms.compared = weight * squared_error(outputs.compared, batch.target);
  return terms;
}

at::Tensor entry_column(const at::Tensor& x) { return x.defined() ? x.unsqueeze(1) : x; }

void go_back_through(const Scalars& scalars, const Scalars& weights) {
  at::Tensor sum;
  for (size_t i = 0; i < scalars.size(); ++i) {
    const at::Tensor part = (scalars[i] * weights[i]).sum();
    sum = sum.defined() ? sum + part : part;
  }
  sum.backward();
}

// One pass over entries that do not depend on each other.
at::Tensor separable(const ForwardWork& work) {
  at::Tensor figures = at::zeros({static_cast<int64_t>(work.method.figures.size())}, at::kDouble);
  for (int64_t start = 0; start < work.own(); start += work.pass.batch) {
    const int64_t count = std::min(work.pass.batch, work.own() - start);
    const EntryTerms terms = entry_terms(work, start, count, /*compares=*/true);
    std::vector<int64_t> rows;
    for (int64_t i = start; i < start + count; ++i)
      rows.push_back(work.entries[static_cast<size_t>(i)].row);
    ForwardInput input{.now = {},
                       .compared = entry_column(terms.compared),
                       .x0_scale = entry_column(terms.x0_scale),
                       .labels = {},
                       .dimensions = work.dimensions()};
    for (const auto& scalar : terms.now) input.now.push_back(entry_column(scalar.detach()));
    input.labels.values = data::to_device(
        work.labels.values.index_select(0, at::tensor(rows, at::kLong)), work.pass.device);
    ForwardGradient result = work.method.objective(input);
    for (auto& weight : result.weights) weight = weight.squeeze(1) / work.total();
    go_back_through(terms.now, result.weights);
    figures += data::to_host(result.figures) / work.total();
  }
  all_reduce_sum(work.share.ranks, figures);
  return figures;
}

// The scalars of all ranks' rows. own: of this rank's entries, [entries] each
ForwardInput gathered(const ForwardWork& work, const std::vector<EntryTerms>& parts) {
  const auto all = [&](const auto& part_of) {
    std::vector<at::Tensor> own;
    for (const auto& part : parts) own.push_back(part_of(part).detach());
    const at::Tensor rows =
        own.empty() ? at::Tensor() : data::to_host(at::cat(own)).view({-1, work.draws.count()});
    return all_gather_rows(work.share, rows);
  };
  ForwardInput input{.now = {},
                     .compared = {},
                     .x0_scale = all([](const EntryTerms& part) { return part.x0_scale; }),
                     .labels = work.labels,
                     .dimensions = work.dimensions()};
  input.now.push_back(all([](const EntryTerms& part) { return part.now[0]; }));
  if (work.pass.compared_errors.defined())
    input.compared = work.pass.compared_errors;
  else if (work.pass.compared)
    input.compared = all([](const EntryTerms& part) { return part.compared; });
  return input;
}

// Two passes; one where this rank's entries fit in a micro-batch, whose graph is kept.
at::Tensor coupled(const ForwardWork& work) {
  const int64_t batch = work.pass.batch;
  const bool keeps_graph = work.own() <= batch;
  std::vector<EntryTerms> parts;
  for (int64_t start = 0; start < work.own(); start += batch) {
    const at::AutoGradMode with_graph(keeps_graph);
    parts.push_back(entry_terms(work, start, std::min(batch, work.own() - start), true));
  }
  const ForwardGradient result = work.method.objective(gathered(work, parts));
  const at::Tensor own = data::to_device(
      result.weights[0].index_select(0, at::tensor(work.share.rows, at::kLong)).flatten(),
      work.pass.device);
  for (int64_t start = 0; start < work.own(); start += batch) {
    const int64_t count = std::min(batch, work.own() - start);
    const Scalars now =
        keeps_graph ? parts[0].now : entry_terms(work, start, count, /*compares=*/false).now;
    go_back_through(now, {own.narrow(0, start, count)});
  }
  return result.figures;
}

}  // namespace

at::Tensor add_forward_gradient(const ForwardMethod& method,
                                const ForwardPass& pass,
                                const CleanImages& images,
                                const ForwardLabels& labels,
                                const NoiseDraws& draws,
                                const RowShard& share) {
  TORCH_CHECK(!pass.compared_errors.defined() || method.couples_rows,
              "add_forward_gradient: ", method.name, " needs the compared outputs, not errors");
  const ForwardWork work{
      method, pass, images, labels, draws, share, entries_of(labels, draws, share)};
  return method.couples_rows ? coupled(work) : separable(work);
}

at::Tensor compared_errors(const ForwardPass& pass,
                           const CleanImages& images,
                           const ForwardLabels& labels,
                           const NoiseDraws& draws,
                           const RowShard& share) {
  const at::NoGradGuard no_gradient;
  const std::vector<NoisedEntry> entries = entries_of(labels, draws, share);
  const auto own = static_cast<int64_t>(entries.size());
  std::vector<at::Tensor> parts{at::zeros({0}, at::kDouble)};
  for (int64_t start = 0; start < own; start += pass.batch) {
    const int64_t end = std::min(start + pass.batch, own);
    const NoisedBatch batch =
        noised_batch(pass.schedule, images, draws, {entries.begin() + start, entries.begin() + end},
                     pass.device);
    const at::Tensor output = pass.compared(batch.x, batch.t, batch.prompts);
    parts.push_back(
        data::to_host(at_times(pass.weights, batch.t) * squared_error(output, batch.target)));
  }
  return all_gather_rows(share, at::cat(parts).view({-1, draws.count()}));
}

}  // namespace finetune
