#pragma once

// States of samples by a value network, in place of the decoded pictures that are expected there:
// `laurel sample --guide particles=4 --guide_value FOLDER`.

#include <memory>
#include <string>
#include <vector>

#include "diffusion/pipeline/generate.hpp"
#include "tools/sample/guides/kinds.hpp"

namespace tools {

// Loads the network of --guide_value into the setting, if any is named. `reward`, the
// specification of --reward, becomes the network's where none is given. Throws BadInput for a
// network of another latent space, and where no kind of the guide rates states.
void open_guide_value(const diffusion::Pipeline& pipeline,
                      GuideSetting& setting,
                      std::string& reward);

// Of the texts of requests, as the network reads them. -> [n, D]
at::Tensor value_texts(const diffusion::Pipeline& pipeline,
                       const std::vector<diffusion::ImageRequest>& requests);
// What a sampler's network is given and told, call by call.
struct SeenStates {
  at::Tensor input;  // [n, C, h, w]
  double timestep = 0;
};
// The denoiser, which keeps its last call in `seen`.
diffusion::Denoiser recorded(const diffusion::Denoiser& denoiser,
                             const std::shared_ptr<SeenStates>& seen);
// x0: [n, C, h, w] as the output says of these states; text: [n, D] -> n
std::vector<double> rate_states(const rewards::ValueNetwork& network,
                                const SeenStates& states,
                                const at::Tensor& x0,
                                const at::Tensor& text);

// "aesthetic at runs/value", for records.
std::string guide_value_text(const GuideSetting& setting);

}  // namespace tools
