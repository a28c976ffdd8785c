#include "diffusion/networks/prepack.hpp"

#include <variant>
#include <vector>

#include "data/device/memory.hpp"
#include "data/nn/prepacked.hpp"
#include "data/nn/winograd.hpp"
#include "data/storage/mapped_file.hpp"

namespace diffusion {
namespace {

// Replaces weights, and returns the memory of the plain ones on the way, so that few of them stand
// beside the new ones.
class Prepacking {
 public:
  void layer(nn::Linear& linear, int64_t rows) {
    if (!pays(linear.weight)) return;
    replace(linear.weight, nn::prepacked_linear_weight(linear.weight, rows));
  }

  void layer(nn::Conv2d& conv, const PassShape& map, int64_t stride) {
    if (!pays(conv.weight)) return;
    const int64_t pad = conv.weight.size(2) / 2;
    const std::vector<int64_t> x{map.rows, conv.weight.size(1), map.height, map.width};
    if (conv.weight.scalar_type() == at::kFloat &&
        nn::winograd_fits(x, conv.weight.sizes(), stride, pad))
      return;
    replace(conv.weight, nn::prepacked_conv2d_weight(conv.weight, x, stride, pad));
  }

 private:
  static constexpr size_t kMostFreed = size_t{256} << 20;

  static bool pays(const at::Tensor& weight) {
    return weight.defined() && nn::prepacking_pays(weight);
  }

  void replace(at::Tensor& weight, const at::Tensor& packed) {
    freed_ += weight.nbytes();
    data::drop_pages(weight);
    weight = packed;
    if (freed_ < kMostFreed) return;
    data::return_freed_memory();
    freed_ = 0;
  }

  size_t freed_ = 0;
};

// A level without its resampling, and the map of its pixels.
void prepack(UNetBlock& block, const PassShape& map, Prepacking& packing) {
  const LayerVisitor visit{
      [&](const std::string&, nn::Linear& linear) {
        packing.layer(linear, map.rows * map.height * map.width);
      },
      [&](const std::string&, nn::Conv2d& conv) { packing.layer(conv, map, 1); },
      [](const std::string&, nn::Norm&) {}};
  for (auto& resnet : block.resnets) visit_layers(resnet, "", visit);
  for (auto& attention : block.attentions) visit_layers(attention, "", visit);
}

void prepack(UNet& unet, const PassShape& shape, Prepacking& packing) {
  std::vector<PassShape> maps{shape};  // of the levels, finest first
  for (auto& block : unet.down_blocks) {
    prepack(block, maps.back(), packing);
    if (!block.resample.weight.defined()) continue;
    packing.layer(block.resample, maps.back(), 2);
    maps.push_back({shape.rows, (maps.back().height + 1) / 2, (maps.back().width + 1) / 2});
  }
  prepack(unet.mid_block, maps.back(), packing);
  for (auto& block : unet.up_blocks) {
    prepack(block, maps.back(), packing);
    if (!block.resample.weight.defined()) continue;
    maps.pop_back();
    packing.layer(block.resample, maps.back(), 1);
  }
}

int64_t patch_size_of(const MMDiT& mmdit) { return mmdit.config.patch_size; }
int64_t patch_size_of(const Flux&) { return kFluxPatch; }

// A transformer's rows are its tokens.
template <class Transformer>
void prepack(Transformer& network, const PassShape& shape, Prepacking& packing) {
  const int64_t side = patch_size_of(network);
  const int64_t rows = shape.rows * (shape.height / side) * (shape.width / side);
  const auto linear = [&](const std::string&, nn::Linear& layer) { packing.layer(layer, rows); };
  for_each_adaptable_layer(network, {linear, [](const std::string&, nn::Conv2d&) {}});
}

}  // namespace

void prepack(Network& network, const PassShape& shape) {
  Prepacking packing;
  std::visit([&](auto& one) { prepack(one, shape, packing); }, network);
}

}  // namespace diffusion
