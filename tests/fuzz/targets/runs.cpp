// What a run left in its folder: digests, metrics, scores, the training state.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "data/storage/sha256.hpp"
#include "data/train/metrics.hpp"
#include "data/train/train_state.hpp"
#include "finetune/run/checkpoint_files.hpp"
#include "tests/fuzz/support.hpp"
#include "tests/fuzz/target.hpp"
#include "tools/gallery/records.hpp"
#include "tools/score/log.hpp"
#include "tools/score/rows.hpp"

namespace fuzz {
namespace {

void digests(std::string_view input) {
  std::filesystem::create_directories(scratch() / "checkpoint");
  file_of("checkpoint/state.safetensors", "state");
  file_of("checkpoint/SHA256SUMS", input);
  const bool listed = input.find(data::sha256("state")) != std::string_view::npos;
  require(listed || !finetune::damage_of(scratch() / "checkpoint").empty(),
          "a checkpoint without its digest is damaged");
}

void metrics(std::string_view input) {
  const auto file = file_of("metrics.jsonl", input);
  std::vector<std::string> warnings;
  attempt([&] {
    for (const auto& series : gallery::read_metrics(file, warnings))
      require(series.steps.size() == series.values.size(), "a value a step");
  });
  attempt([&] { gallery::read_scores(file, warnings); });
  gallery::read_run_info(file);
}

// The lines of a score that was ended, and of one that is whole.
void scores(std::string_view input) {
  const auto file = file_of("scores.jsonl", input);
  attempt([&] { tools::read_scores(file); });
  tools::ScoreLog(file, "aesthetic");
}

void training_state(std::string_view input) {
  train::TrainState state;
  state.params = {{.name = "w", .value = at::zeros({2})}};
  state.adamw.exp_avg = {at::zeros({2})};
  state.adamw.exp_avg_sq = {at::zeros({2})};
  state.adamw.step = at::zeros({});
  train::load_state(file_of("state.safetensors", input), state);
}

std::string small_state() {
  const std::string header =
      R"({"__metadata__":{"ema_updates":"0","step":"3"},"adamw_step":{"dtype":"F32","shape":[],)"
      R"("data_offsets":[0,4]},"exp_avg.w":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},)"
      R"("exp_avg_sq.w":{"dtype":"F32","shape":[2],"data_offsets":[12,20]},"param.w":)"
      R"({"dtype":"F32","shape":[2],"data_offsets":[20,28]}})";
  return little_endian(header.size(), 8) + header + std::string(28, '\0');
}

}  // namespace

Targets run_targets() {
  return {
      {.name = "digests",
       .run = digests,
       .seeds = {data::sha256("state") + "  state.safetensors\n"},
       .words = {"  ", "../", "state.safetensors", "\n"},
       .longest = 1024},
      {.name = "metrics",
       .run = metrics,
       .seeds = {R"({"step":1,"epoch":0,"time":1.5,"loss":0.25,"kl":null})"
                 "\n"
                 R"({"step":2,"epoch":0,"time":2.5,"evaluation":true,"loss":0.2})"
                 "\n",
                 R"({"file":"0000.png","prompt":"x","seed":3,"split":"seen","rewards":{"a":1.5}})"
                 "\n",
                 R"({"laurel":"0.1.0","kind":"prdp","synthetic":true})"},
       .words = {"\"step\":", "\"rewards\":{", "\"seed\":", "1e300", "-9223372036854775809"}},
      {.name = "scores",
       .run = scores,
       .seeds = {R"({"file":"a.png","prompt":"x","rewards":{"aesthetic":1.5,"y":null},"total":1.5})"
                 "\n",
                 R"({"rewards":"aesthetic"})"
                 "\n"
                 R"({"file":"a.png","prompt":"x","raw":[1.5,null]})"},
       .words = {"\"raw\":[", "\"rewards\":", "\"total\":", "\"file\":"}},
      {.name = "training_state",
       .run = training_state,
       .seeds = {small_state()},
       .words = {"ema_updates", "\"param.w\"", "\"dtype\":\"C64\"", "\"dtype\":\"F8_E8M0\"", "U64",
                 "BOOL"}},
  };
}

}  // namespace fuzz
