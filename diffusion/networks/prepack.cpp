#include "diffusion/networks/prepack.hpp"

#include <ATen/ATen.h>

#include <variant>
#include <vector>

#include "data/device/memory.hpp"
#include "data/nn/prepacked.hpp"
#include "data/nn/winograd.hpp"
#include "data/storage/mapped_file.hpp"

namespace diffusion {
namespace {

// Replaces weights, one at a time, so that few plain ones stand beside the new ones.
class Prepacking {
 public:
  explicit Prepacking(at::ScalarType compute) : compute_(compute) {}

  void layer(nn::Linear& linear, int64_t rows) {
    if (!is_wide(linear.weight)) return;
    const at::Tensor plain = converted(linear.weight);
    if (nn::prepacking_pays(plain))
      replace(linear.weight, nn::prepacked_linear_weight(plain, rows));
  }

  void layer(nn::Conv2d& conv, const PassShape& map, int64_t stride) {
    if (!is_wide(conv.weight)) return;
    const int64_t pad = conv.weight.size(2) / 2;
    const std::vector<int64_t> x{map.rows, conv.weight.size(1), map.height, map.width};
    if (compute_ == at::kFloat && nn::winograd_fits(x, conv.weight.sizes(), stride, pad)) return;
    const at::Tensor plain = converted(conv.weight);
    if (nn::prepacking_pays(plain))
      replace(conv.weight, nn::prepacked_conv2d_weight(plain, x, stride, pad));
  }

 private:
  static constexpr size_t kMostFreed = size_t{256} << 20;

  static bool is_wide(const at::Tensor& weight) {
    return weight.defined() && !weight.is_meta() && nn::is_wide(weight.sizes());
  }

  // In the type of products; of another type, in a buffer that the next call overwrites.
  at::Tensor converted(const at::Tensor& weight) {
    if (weight.scalar_type() == compute_) return weight;
    const int64_t count = weight.numel();
    if (!buffer_.defined() || buffer_.numel() < count)
      buffer_ = at::empty({count}, weight.options().dtype(compute_));
    return buffer_.narrow(0, 0, count).view(weight.sizes()).copy_(weight);
  }

  void replace(at::Tensor& weight, const at::Tensor& packed) {
    if (weight.scalar_type() == compute_) freed_ += weight.nbytes();  // else it is in its file
    data::drop_pages(weight);
    weight = packed;
    if (freed_ < kMostFreed) return;
    data::return_freed_memory();
    freed_ = 0;
  }

  at::ScalarType compute_;
  at::Tensor buffer_;
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

// A transformer's rows are its tokens. patches: of them
template <class Transformer>
void prepack(Transformer& network, const PassShape& patches, Prepacking& packing) {
  const int64_t rows = patches.rows * patches.height * patches.width;
  const auto linear = [&](const std::string&, nn::Linear& layer) { packing.layer(layer, rows); };
  for_each_adaptable_layer(network, {linear, [](const std::string&, nn::Conv2d&) {}});
}

}  // namespace

void prepack(Network& network, const PassShape& shape, at::ScalarType compute) {
  Prepacking packing(compute);
  const int64_t side = traits(network).patch_size;  // a UNet's is 1
  const PassShape patches{shape.rows, shape.height / side, shape.width / side};
  std::visit([&](auto& one) { prepack(one, patches, packing); }, network);
  const auto convert = [compute](const std::string&, auto& layer) {  // the rest, and all biases
    if (!layer.weight.is_mkldnn() && layer.weight.scalar_type() != compute) {
      const at::Tensor stored = layer.weight;
      layer.weight = stored.to(compute);
      data::drop_pages(stored);
    }
    if (layer.bias.defined()) layer.bias = layer.bias.to(compute);
  };
  for_each_adaptable_layer(network, {convert, convert});
}

}  // namespace diffusion
