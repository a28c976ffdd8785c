#include "tools/train_reward/rated_images.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <map>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/images/captions.hpp"
#include "data/images/image_io.hpp"
#include "rewards/world/rater_preference.hpp"
#include "tools/cli/console/progress.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr int64_t kPiece = 256;               // images embedded at once
constexpr double kLowest = 1, kHighest = 10;  // LAION's scale of ratings

// The embeddings of one CLIP after another, in pieces.
struct EmbeddingPieces {
  const Clips& clips;
  std::vector<std::vector<at::Tensor>> pieces;

  explicit EmbeddingPieces(const Clips& of) : clips(of), pieces(of.size()) {}
  void add(const at::Tensor& images) {
    for (size_t c = 0; c < clips.size(); ++c) pieces[c].push_back(clips[c]->images(images).cpu());
  }
  std::vector<at::Tensor> joined() const {
    std::vector<at::Tensor> all;
    for (const auto& own : pieces) all.push_back(at::cat(own));
    return all;
  }
};

struct MeanRating {
  double sum = 0;
  int64_t count = 0;
};

void check_count(const fs::path& path, size_t images) {
  constexpr size_t kFewest = 25;
  if (images < kFewest)
    throw BadInput(path.string() + ": expected ratings of at least 25 readable images, found " +
                   std::to_string(images));
}

// Mean rating of each image.
std::map<fs::path, MeanRating> read_ratings(const fs::path& path) {
  std::map<fs::path, MeanRating> ratings;
  data::for_each_line(path, [&](const std::string& line, const std::string& where) {
    const auto json = data::parse_json_object(line, where);
    if (!json.contains("image") || !json["image"].is_string() || !json.contains("rating") ||
        !json["rating"].is_number()) {
      throw BadInput(where +
                     ": expected an object with \"image\" (a path) and \"rating\" (a number)");
    }
    const double value = json["rating"].get<double>();
    if (!(value >= kLowest && value <= kHighest))
      throw BadInput(where + ": rating: expected a number from 1 to 10, found " +
                     data::to_text(json["rating"]) + "; scale the ratings first");
    MeanRating& rating =
        ratings[data::listed_file(path.parent_path(), json["image"].get<std::string>())];
    rating.sum += value;
    ++rating.count;
  });
  check_count(path, ratings.size());
  return ratings;
}

}  // namespace

RatedImages rows_of(const RatedImages& rated, const at::Tensor& rows) {
  RatedImages some{
      .embeddings = {}, .ratings = rated.ratings.index_select(0, rows), .preference = {}};
  for (const auto& embeddings : rated.embeddings)
    some.embeddings.push_back(embeddings.index_select(0, rows));
  return some;
}

RatedImages simulated_images(const RatingSimulation& simulation,
                             int64_t count,
                             world::Split split,
                             const std::string& title) {
  const at::NoGradGuard no_grad;
  Progress progress(title, count, "img");
  EmbeddingPieces embeddings(simulation.clips);
  std::vector<at::Tensor> preferences;
  for (int64_t done = 0; done < count; done += kPiece) {
    const auto drawn =
        world::random_batch(std::min(kPiece, count - done), split, simulation.generator);
    const auto images = rewards::degrade(drawn.images, simulation.generator);
    embeddings.add(images);
    preferences.push_back(rewards::rater_preference(images));
    progress.advance(images.size(0));
  }
  RatedImages rated{
      .embeddings = embeddings.joined(), .ratings = {}, .preference = at::cat(preferences)};
  rated.ratings = rewards::simulate_ratings(rated.preference, simulation.biases, simulation.raters,
                                            simulation.generator);
  return rated;
}

RatedImages read_rated_images(const fs::path& path, const Clips& clips) {
  const at::NoGradGuard no_grad;
  const auto ratings = read_ratings(path);
  Progress progress("Embedding", static_cast<int64_t>(ratings.size()), "img");
  RatedImages rated;
  EmbeddingPieces embeddings(clips);
  std::vector<double> means;
  for (const auto& [image, rating] : ratings) {
    try {
      embeddings.add(data::read_image(image).unsqueeze(0));
      means.push_back(rating.sum / static_cast<double>(rating.count));
    } catch (const BadInput& error) {
      progress.print_fault(error.what());
      ++rated.unreadable;
    }
    progress.advance();
  }
  check_count(path, means.size());
  rated.embeddings = embeddings.joined();
  rated.ratings = at::tensor(means, at::kFloat);
  return rated;
}

}  // namespace tools
