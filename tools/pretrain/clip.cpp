#include "tools/pretrain/clip.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/images/image_folder.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "rewards/clip/pretrain.hpp"
#include "tools/cli/captioned_data.hpp"
#include "tools/cli/options.hpp"
#include "tools/pretrain/options.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr int64_t kExamSeed = 20211;  // seed of the held-out scenes, equal in all runs

struct PretrainClipConfig {
  rewards::TrainClipOptions train;
  std::string output_dir, data, hidden_act = "gelu";
  int64_t width = 128, heads = 4, mlp = 512, text_layers = 3, vision_layers = 3, text_length = 32,
          vocab_size = 1024;
  int64_t exam_groups = 8, exam_size = 64;
  int64_t held_out = 256;
  double variants = 0.5;
};

void declare_model(Options& options, PretrainClipConfig& s) {
  options.group("model");
  options.integer("width", s.width, "width of both towers and of the joint space", 8, 4096);
  options.integer("num_attention_heads", s.heads, "attention heads of both towers", 1, 64);
  options.rare().integer("intermediate_size", s.mlp, "width of the MLPs", 8, 16384);
  options.integer("text_layers", s.text_layers, "layers of the text tower", 1, 48);
  options.integer("vision_layers", s.vision_layers, "layers of the vision tower", 1, 48);
  options.integer("patch_size", s.train.model.vision.patch_size, "side of a patch, pixels", 1, 64);
  options.integer("image_size", s.train.model.vision.image_size, "side of an image, pixels", 8,
                  1024);
  options.rare().integer("text_length", s.text_length, "ids per caption", 3, 1024);
  options.integer("vocab_size", s.vocab_size,
                  "largest size of the vocabulary: byte-level BPE learnt from the captions", 514,
                  65536);
  options.rare().choice("hidden_act", s.hidden_act, {"gelu", "quick_gelu"},
                        "activation of the MLPs");
}

void declare_training(Options& options, PretrainClipConfig& s) {
  options.group("training");
  declare_schedule(options, s.train.loop, Rarity::kRare);
  options.rare().number("variants", s.variants,
                        "share of a batch that are near-copies of other scenes in it", 0, 0.75);
  options.choice("optimizer", s.train.optimizer, {"adamw", "muon"}, "optimiser");
  declare_progress(options, s.train.loop);
  options.rare().integer("exam_groups", s.exam_groups, "groups of the retrieval evaluation", 1,
                         1024);
  options.rare().integer("exam_size", s.exam_size, "pairs per group", 2, 4096);
}

void declare(Options& options, PretrainClipConfig& s) {
  options.group("data and output");
  options.text("output_dir", s.output_dir, "folder for the model, metrics and training state");
  options.text("data", s.data, "folder of captioned images; default: scenes of the built-in world");
  options.integer("held_out", s.held_out, "images of the folder for the evaluation", 2, kNoLimit);
  options.integer("seed", s.train.loop.seed, "seed of weights, scenes and captions", 0, kNoLimit);
  declare_model(options, s);
  declare_training(options, s);
}

rewards::ClipConfig model_config(const PretrainClipConfig& s, const data::Tokenizer& tokenizer) {
  rewards::ClipConfig config = s.train.model;
  nn::EncoderConfig tower{.hidden_size = s.width,
                          .intermediate_size = s.mlp,
                          .num_hidden_layers = s.text_layers,
                          .num_attention_heads = s.heads};
  tower.hidden_act = nn::activation_by_name(s.hidden_act, "--hidden_act");
  config.text.encoder = tower;
  config.text.vocab_size = static_cast<int64_t>(tokenizer.vocab.size());
  config.text.max_position_embeddings = s.text_length;
  config.text.projection_dim = config.projection_dim = s.width;
  config.text.bos_token_id = tokenizer.bos;
  config.text.eos_token_id = tokenizer.eos;
  config.text.pad_token_id = tokenizer.pad;
  tower.num_hidden_layers = s.vision_layers;
  config.vision.encoder = tower;
  return config;
}

// Training data and evaluation data.
struct ClipCorpus {
  rewards::ClipSource source;
  std::vector<rewards::EvaluationSet> exams;
};

ClipCorpus scenes(const PretrainClipConfig& s) {
  auto generator = at::detail::createCPUGenerator(kExamSeed);
  ClipCorpus material{.source = rewards::scene_source(s.variants), .exams = {}};
  for (const auto split : {world::Split::kSeen, world::Split::kUnseen}) {
    material.exams.push_back(
        {split == world::Split::kSeen ? "seen" : "unseen",
         rewards::retrieval_groups(s.exam_groups, s.exam_size, split, generator)});
  }
  return material;
}

using Images = std::shared_ptr<const data::ImageFolder>;

Images open_folder(const PretrainClipConfig& s) {
  if (s.data.empty()) return std::make_shared<data::ImageFolder>();
  return std::make_shared<data::ImageFolder>(open_training_images(
      s.data, {.resolution = s.train.model.vision.image_size, .require_captions = true}));
}

ClipCorpus folder(const PretrainClipConfig& s, const Images& opened) {
  const rewards::CaptionedSet set{opened->captions, [opened](const at::Tensor& rows) {
                                    return data::folder_images(*opened, rows);
                                  }};
  const auto split = data::split_folder(static_cast<int64_t>(set.captions.size()), s.held_out);
  const std::string name = std::to_string(split.train.size(0)) + " captioned images";
  ClipCorpus material{.source = rewards::captioned_source(name, set, split.train), .exams = {}};
  const auto learnt = split.train.slice(0, 0, split.held_out.size(0));
  material.exams.push_back({"learnt", rewards::groups_of(set, learnt, s.exam_size)});
  material.exams.push_back({"held-out", rewards::groups_of(set, split.held_out, s.exam_size)});
  return material;
}

std::string percent_text(double fraction) {
  char text[16];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * fraction);
  return text;
}

// The model card.
std::string model_card(const PretrainClipConfig& s,
                       const std::string& data,
                       const rewards::TrainClipResult& result,
                       const std::vector<rewards::EvaluationSet>& exams,
                       const std::string& config) {
  std::ostringstream card;
  card << "---\nlibrary_name: transformers\npipeline_tag: zero-shot-image-classification\n"
          "tags: [clip, "
       << (s.data.empty() ? "synthetic, " : "")
       << "laurel]\n---\n\n"
          "# A small CLIP trained on "
       << data
       << "\n\nTrained from random weights by `laurel pretrain clip` on these data alone. `clip/` "
          "loads as transformers' "
          "CLIPModel, `text_encoder/` (the same text tower) as CLIPTextModel, `tokenizer/` as "
          "CLIPTokenizer.\n\n"
          "Top-1 retrieval among "
       << s.exam_size << " pairs, each image matching only its own caption, mean of "
       << exams[0].groups.size()
       << " groups:\n\n| pairs | image to text | text to image |\n|---|---|---|\n";
  for (size_t i = 0; i < exams.size(); ++i) {
    card << "| " << exams[i].name << " | " << percent_text(result.retrieval[i].image_to_text)
         << " | " << percent_text(result.retrieval[i].text_to_image) << " |\n";
  }
  card << "\n"
       << result.steps << " updates in " << std::llround(result.minutes)
       << " minutes, the moving average of the weights. Settings:\n\n```toml\n"
       << config << "```\n";
  return card.str();
}

int pretrain_clip_command(const std::vector<std::string>& arguments) {
  PretrainClipConfig s;
  s.train.model.vision.image_size = 64;
  s.train.model.vision.patch_size = 8;
  Options options("pretrain clip", "Trains a CLIP from random weights, and its tokenizer.");
  declare(options, s);
  if (!options.parse(arguments).proceed) return 0;
  require_folder("pretrain clip", "output_dir", s.output_dir);
  if (s.width % s.heads)
    throw data::BadInput(
        "laurel pretrain clip: num_attention_heads: expected a divisor of width, found " +
        std::to_string(s.heads));
  s.train.loop.output_dir = s.output_dir;
  train::check_output(s.train.loop);
  const Images images = open_folder(s);
  const ClipCorpus material = s.data.empty() ? scenes(s) : folder(s, images);
  const data::Tokenizer tokenizer =
      data::train_bpe(material.source.texts, s.vocab_size, s.text_length);
  data::save_tokenizer(s.train.loop.output_dir / "tokenizer", tokenizer);
  data::write_file(s.train.loop.output_dir / "config.toml", options.resolved());
  s.train.model = model_config(s, tokenizer);
  const auto& exams = material.exams;
  const auto result =
      rewards::train_clip(s.train, tokenizer, material.source, exams,
                          [](const std::string& line) { std::cout << line << std::endl; });
  data::write_file(s.train.loop.output_dir / "README.md",
                   model_card(s, material.source.name, result, exams, options.resolved()));
  for (size_t i = 0; i < result.retrieval.size(); ++i) {
    std::cout << "top-1 of " << s.exam_size << ", " << exams[i].name << ": image to text "
              << percent_text(result.retrieval[i].image_to_text) << ", text to image "
              << percent_text(result.retrieval[i].text_to_image) << "\n";
  }
  return exit_code_of(*images);
}

}  // namespace

const Command kPretrainClip{"clip", "the CLIP, its text encoder and tokenizer",
                            pretrain_clip_command};

}  // namespace tools
