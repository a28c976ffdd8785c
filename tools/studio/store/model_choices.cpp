#include "tools/studio/store/model_choices.hpp"

#include "tools/studio/store/schema.hpp"

namespace studio {

void choose_model(data::Database& store, const ModelChoice& choice) {
  const auto job = choice.job == 0 ? std::nullopt : std::optional<int64_t>(choice.job);
  store.prepare("INSERT INTO model_choice (job, step, at) VALUES (?, ?, ?)")
      .bind(job, choice.step, now())
      .run();
}

ModelChoice chosen_model(data::Database& store) {
  auto row = store.prepare("SELECT job, step FROM model_choice ORDER BY id DESC LIMIT 1");
  if (!row.next()) return {};
  return {.job = row.integer(0), .step = row.integer(1)};
}

std::optional<int64_t> chosen_step(data::Database& store, int64_t job) {
  auto row = store.prepare("SELECT step FROM model_choice WHERE job = ? ORDER BY id DESC LIMIT 1");
  row.bind(job);
  if (!row.next()) return std::nullopt;
  return row.integer(0);
}

}  // namespace studio
