// `laurel train-reward lvlm`: a judge's judgements -> a student.

#include "tools/train_reward/judge_student/command.hpp"

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/images/image_folder.hpp"
#include "data/storage/sha256.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "rewards/clip/files.hpp"
#include "rewards/judge_student/calibrate.hpp"
#include "rewards/judge_student/files.hpp"
#include "rewards/judge_student/reward.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/pretrain/options.hpp"
#include "tools/train_reward/judge_student/report.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace tools {
namespace {

struct StudentCommand {
  std::vector<std::string> judgements, exams;
  std::string retest, output_dir, resume;
  RewardSourceConfig sources;
  rewards::StudentConfig student;
  rewards::StudentTraining training;
  // Of the second stage, which tunes the CLIP's last layers too.
  rewards::StudentTraining towers{.loop = {.train_batch_size = 64,
                                           .learning_rate = 1e-5,
                                           .lr_warmup_steps = 20,
                                           .weight_decay = 0.01,
                                           .ema_decay = 0,
                                           .validation_steps = 1000000000,
                                           .checkpointing_steps = 50},
                                  .epochs = 0};
  rewards::ClipLayers layers;
};

void declare_training(Options& options, StudentCommand& s) {
  options.group("training: the members, on embeddings");
  options.integer("epochs", s.training.epochs, "passes over the judgements", 1, 100000);
  options.integer("batch_size", s.training.loop.train_batch_size, "judgements of an update", 1,
                  1000000);
  options.number("learning_rate", s.training.loop.learning_rate, "falls to 0 as a cosine", 1e-9, 1);
  options.number("weight_decay", s.training.loop.weight_decay, "of AdamW", 0, 10);
  options.number("label_smoothing", s.training.label_smoothing, "towards even bins", 0, 0.5);
  options.integer("seed", s.training.loop.seed, "of everything random", 0);
  options.text("resume_from_checkpoint", s.resume,
               "`latest`: resume (start when there is no checkpoint)");
  options.group("then with the CLIP's last layers");
  options.integer("tower_epochs", s.towers.epochs, "passes; 0: the CLIP stays as it is", 0, 100000);
  options.integer("tower_batch_size", s.towers.loop.train_batch_size, "judgements of an update", 1,
                  1000000);
  options.number("tower_learning_rate", s.towers.loop.learning_rate, "falls to 0 as a cosine", 1e-9,
                 1);
  options.integer("vision_layers", s.layers.vision, "last ones trained; -1: the whole tower", -1,
                  1000);
  options.integer("text_layers", s.layers.text, "last ones trained; -1: the whole tower", -1, 1000);
}

void declare(Options& options, StudentCommand& s) {
  options.list("judgements", s.judgements, "JSONL of `laurel judge`; several");
  options.text("output_dir", s.output_dir, "folder for the student and its report");
  options.text("clip", s.sources.clip, "CLIP folder whose embeddings it reads [embedded]");
  options.list("exam", s.exams, "more judgements, of other prompts, to evaluate on; several");
  options.text("retest", s.retest, "the same images judged with another --seed: the judge itself");
  options.group("student");
  options.integer("hidden", s.student.hidden, "width of each member", 1, 65536);
  options.integer("members", s.student.members, "networks, each on its own bootstrap", 1, 64);
  options.number("kappa", s.student.kappa, "deviations of the members that lower the score", 0,
                 100);
  declare_training(options, s);
}

// What every student is trained on.
struct StudentMaterial {
  rewards::Clip clip;
  data::Tokenizer tokenizer;
  std::shared_ptr<rewards::ClipEmbedder> embedder;  // of that CLIP
  JudgedImages training, calibration;
  rewards::StudentData training_data, calibration_data;  // embedded by it
};

std::string name_of(const std::string& blind_to) {
  return blind_to.empty() ? "student" : blind_to + "-blind";
}

void print_line(const std::string& line) { std::cout << line << std::endl; }

TrainedStudent train_one(const StudentCommand& s,
                         const StudentMaterial& material,
                         const std::string& blind_to) {
  rewards::StudentConfig config = s.student;
  config.blind_to = blind_to;
  const fs::path folder = fs::path(s.output_dir) / "training" / name_of(blind_to);
  const auto options_in = [&](rewards::StudentTraining options, const fs::path& place) {
    options.loop.output_dir = place;
    options.loop.resume_from_checkpoint = s.resume;
    return options;
  };
  std::cout << data::formatted("training the %s\n", name_of(blind_to).c_str());
  TrainedStudent trained{name_of(blind_to), {}, material.embedder};
  trained.student = rewards::train_student(config, material.training_data,
                                           options_in(s.training, folder / "members"), print_line);
  if (s.towers.epochs == 0) {
    rewards::calibrate(trained.student, material.calibration_data);
    return trained;
  }
  auto options = options_in(s.towers, folder / "towers");
  options.loop.seed = s.training.loop.seed;
  options.label_smoothing = s.training.label_smoothing;
  const auto images = std::make_shared<data::ImageFolder>(
      data::open_images(material.training.files, material.clip.transform.size));
  const rewards::StudentTower tower{
      .clip = material.clip,
      .tokenizer = material.tokenizer,
      .images = [images](const at::Tensor& rows) { return data::folder_images(*images, rows); },
      .prompts = material.training.prompts,
      .layers = s.layers};
  auto tuned =
      rewards::tune_student(trained.student, tower, material.training_data, options, print_line);
  trained.student = tuned.student;
  trained.clip = std::make_shared<rewards::ClipEmbedder>(tuned.clip, material.tokenizer, at::kCPU);
  rewards::calibrate(trained.student, embedded(material.calibration, *trained.clip));
  if (blind_to.empty()) {
    const fs::path own = rewards::student_clip_folder(s.output_dir);
    rewards::save_clip(own, tuned.clip, at::kHalf);
    data::save_tokenizer(own, material.tokenizer);
    trained.student.config.clip_digest = rewards::clip_digest(own);
  }
  return trained;
}

// Consistency of the judge: whether the order of a pair changes its answer.
nlohmann::ordered_json summary(const rewards::Judgements& judgements,
                               const rewards::MergedPairs& merged) {
  std::cout << data::formatted(
      "%zu images judged, %zu pairs; %lld lines unusable; the two orders agree on %lld of "
      "%lld\n",
      judgements.points.size(), merged.pairs.size(), static_cast<long long>(judgements.unusable),
      static_cast<long long>(merged.consistent), static_cast<long long>(merged.both_orders));
  return {{"judgements", judgements.points.size()},
          {"pairs", merged.pairs.size()},
          {"unusable", judgements.unusable},
          {"orders_agree", merged.consistent},
          {"orders", merged.both_orders}};
}

std::string digest_of(const std::vector<std::string>& files) {
  std::string digests;
  for (const auto& file : files) digests += data::sha256_of_file(file);
  return data::sha256(digests);
}

// Trains, evaluates and saves; returns the report.
nlohmann::ordered_json run(StudentCommand& s, const rewards::RewardSources& sources) {
  const auto judgements = read_all_judgements(s.judgements);
  const auto merged = rewards::merge_orders(judgements.pairs);
  s.student.axes = judged_axes(judgements);
  if (judgements.points.size() + merged.pairs.size() < 50)
    throw BadInput(s.judgements[0] + ": expected at least 50 judgements, found " +
                   std::to_string(judgements.points.size() + merged.pairs.size()));
  auto report = summary(judgements, merged);
  const auto parts = split_judgements(judgements);
  const std::string digest = digest_of(s.judgements);
  StudentMaterial material{.clip = rewards::load_clip(sources.clip),
                           .tokenizer = rewards::load_clip_tokenizer(sources.clip),
                           .embedder = rewards::load_clip_embedder(sources.clip, at::kCPU),
                           .training = judged_images(parts[0], s.student.axes, digest),
                           .calibration = judged_images(parts[1], s.student.axes, digest),
                           .training_data = {},
                           .calibration_data = {}};
  material.training_data = embedded(material.training, *material.embedder);
  material.calibration_data = embedded(material.calibration, *material.embedder);
  s.student.embedding = material.embedder->width();
  s.student.clip_digest = rewards::clip_digest(sources.clip);
  std::vector<TrainedStudent> all;
  for (const std::string blind : {"", "prompt", "image"})
    all.push_back(train_one(s, material, blind));
  rewards::save_student(s.output_dir, all.front().student, at::kHalf);
  const auto held_out = judged_images(parts[2], s.student.axes, digest);
  report["held_out"] = evaluate_students("held-out prompts", all, *material.embedder, held_out);
  for (const auto& file : s.exams)
    report["exams"][fs::path(file).stem().string()] =
        evaluate_students(file, all, *material.embedder,
                          judged_images(read_all_judgements({file}), s.student.axes, ""));
  report["probes"] = probe(all.front(), held_out);
  if (s.retest.empty()) return report;
  auto asked = judgements;
  rewards::append(asked, read_all_judgements(s.exams));
  report["retest"] = retest_judge(asked, read_all_judgements({s.retest}));
  return report;
}

int train_judge_student_command(const std::vector<std::string>& arguments) {
  StudentCommand s;
  Options options("train-reward lvlm",
                  "Trains a student on a vision-language judge's judgements (`laurel judge`).");
  declare(options, s);
  if (!options.parse(arguments).proceed) return 0;
  require_folder("train-reward lvlm", "output_dir", s.output_dir);
  if (s.judgements.empty())
    throw BadInput(
        "train-reward lvlm: --judgements: expected a file of `laurel judge`, found none");
  if (s.towers.epochs > 0 && s.layers.vision == 0 && s.layers.text == 0)
    throw BadInput("train-reward lvlm: vision_layers and text_layers: expected one above 0");
  const auto sources = reward_sources(s.sources, at::kCPU);
  if (sources.clip.empty()) throw BadInput("--clip: no embedded CLIP found; name a CLIP folder");
  const auto report = run(s, sources);
  const fs::path output = s.output_dir;
  data::write_file(output / "report.json", data::to_text(report, 2) + "\n");
  data::write_file(output / "config.toml", options.resolved());
  std::cout << "wrote " << s.output_dir << "\n";
  return 0;
}

}  // namespace

const Command kTrainJudgeStudent{"lvlm",
                                 "a student of a vision-language judge's judgements (laurel judge)",
                                 train_judge_student_command};

}  // namespace tools
