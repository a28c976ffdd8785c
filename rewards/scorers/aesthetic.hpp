#pragma once

// LAION's aesthetic predictor: a small head on the unit-norm CLIP image embedding, trained on mean
// ratings from 1 to 10 (github.com/christophschuhmann/improved-aesthetic-predictor, "v2";
// LAION-AI/aesthetic-predictor, "v1").

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/nn/layers.hpp"
#include "data/weights/tensor_map.hpp"
#include "rewards/clip/embedder.hpp"
#include "rewards/loader/entry.hpp"

namespace rewards {

// The published forms. Their tensors' names tell which one a file holds.
enum class AestheticForm {
  kLinear,     // v1: one layer; "weight", "bias"
  kLinearMlp,  // v2, sac+logos+ava1-l14-linearMSE: D-1024-128-64-16-1 without activation;
               // layers.{0,2,4,6,7}
  kReluMlp,    // v2, ava+logos-l14-reluMSE: the same sizes with ReLU between; layers.{0,3,6,9,11}
};

struct AestheticHead {
  AestheticForm form = AestheticForm::kLinearMlp;
  std::vector<nn::Linear> layers;  // 1 (v1) or 5 (v2)
};

// Of tensors whose names have this prefix. Throws BadInput when the names fit none of the forms or
// the sizes of adjacent layers differ.
AestheticHead take_aesthetic(const data::Weights& weights, const std::string& prefix = "");
// The heads of a file of several, members.0. to members.<M - 1>.; of another file its one head.
// Throws BadInput as take_aesthetic, for more than kMostMembers, and for members whose embeddings
// differ in width, which are of different CLIPs.
std::vector<AestheticHead> load_aesthetic(const std::filesystem::path& path);
std::vector<AestheticHead> take_aesthetic_members(const data::Weights& weights);
// The file of these heads, fp16: one alone has the released names.
data::Weights aesthetic_file(const std::vector<AestheticHead>& members);
AestheticHead make_aesthetic(AestheticForm form, int64_t width, at::Generator& generator);
void for_each_tensor(AestheticHead& head,
                     const std::string& prefix,
                     const data::TensorVisitor& visit);

// The layers of a kLinearMlp, which has no activations, multiplied out to one in fp64. Other forms
// are returned unchanged.
AestheticHead folded(const AestheticHead& head);

// Width D of the embedding that the head expects.
int64_t embedding_width(const AestheticHead& head);

// embedding: [B, D] unit norm -> [B], on the scale of the ratings (1-10)
at::Tensor aesthetic_forward(const AestheticHead& head, const at::Tensor& embedding);

// The same with the dropout of the original training: 0.2, 0.2 and 0.1 after the first three layers
// (v2 only). Masks are drawn from `generator`.
at::Tensor aesthetic_forward_training(const AestheticHead& head,
                                      const at::Tensor& embedding,
                                      at::Generator& generator);

// A file of several members becomes an ensemble: one CLIP pass, then each head. Throws BadInput
// when the heads expect embeddings of another width than this CLIP's. A head without activations is
// folded into one layer.
Reward aesthetic_reward(const std::shared_ptr<ClipEmbedder>& clip,
                        const std::filesystem::path& head);
// source: what the heads are from, for messages
Reward aesthetic_reward(const std::shared_ptr<ClipEmbedder>& clip,
                        std::vector<AestheticHead> heads,
                        const std::string& source);

extern const RewardEntry kAestheticEntry;
extern const FamilyEntry kAestheticFamily;

}  // namespace rewards
