#include "data/nn/winograd.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstring>
#include <vector>

// The loops below are compiled for several widths of vectors; the processor's is chosen at start.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define LAUREL_EACH_WIDTH \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LAUREL_EACH_WIDTH
#endif

namespace nn {
namespace {

constexpr int64_t kTile = 4, kWindow = 6, kPoints = kWindow * kWindow;
const char* const kWinogradName = "laurel::winograd_conv2d";
constexpr int64_t kBlockTiles = 256;    // transformed at a time
constexpr int64_t kWeights = 16 << 20;  // transformed at a time: 64 MB
// Below, the transforms cost more, or it is not measured.
constexpr int64_t kLeastTiles = 32, kLeastPixels = 256, kLeastWidth = 128;

int64_t tiles_of(int64_t side) { return (side + kTile - 1) / kTile; }

// What a row of tiles is read into and transformed in.
struct Scratch {
  explicit Scratch(int64_t tiles)
      : padded(kTile * (tiles + 2)), rows(2 * kWindow * padded), columns(kTile * (tiles + 2)) {}
  int64_t padded;  // pixels of a row with its zeros
  std::vector<float> rows, columns;
};

// Six rows of pixels, zeros around the image. image: [H, W] -> rows: [6, padded]
void read_rows(
    const float* image, int64_t height, int64_t width, int64_t top, int64_t padded, float* rows) {
  for (int64_t i = 0; i < kWindow; ++i) {
    float* row = rows + i * padded;
    const int64_t y = top + i;
    const bool inside = y >= 0 && y < height;
    row[0] = 0;
    if (inside) std::memcpy(row + 1, image + y * width, static_cast<size_t>(width) * sizeof(float));
    const int64_t read = inside ? width + 1 : 1;
    std::fill(row + read, row + padded, 0.0F);
  }
}

// The rows of B^T d. in, out: [6, n]
LAUREL_EACH_WIDTH void transform_down(const float* in, int64_t n, float* out) {
  const float *a = in, *b = a + n, *c = b + n, *d = c + n, *e = d + n, *f = e + n;
  for (int64_t i = 0; i < n; ++i) {
    out[i] = 4 * a[i] - 5 * c[i] + e[i];
    out[n + i] = -4 * (b[i] + c[i]) + d[i] + e[i];
    out[2 * n + i] = 4 * (b[i] - c[i]) - d[i] + e[i];
    out[3 * n + i] = 2 * (d[i] - b[i]) - c[i] + e[i];
    out[4 * n + i] = 2 * (b[i] - d[i]) - c[i] + e[i];
    out[5 * n + i] = 4 * b[i] - 5 * d[i] + f[i];
  }
}

// A row of B^T d times B, tile by tile. row: [4 (tiles + 2)]; columns: [4, tiles + 2] in which
// pixel 4 t + j is at [j, t]; out: [6, stride], of which `tiles` are written
LAUREL_EACH_WIDTH void transform_along(
    const float* row, int64_t tiles, float* columns, float* out, int64_t stride) {
  const int64_t n = tiles + 2;
  float *a = columns, *b = a + n, *c = b + n, *d = c + n;
  for (int64_t t = 0; t < n; ++t) {
    a[t] = row[4 * t];
    b[t] = row[4 * t + 1];
    c[t] = row[4 * t + 2];
    d[t] = row[4 * t + 3];
  }
  float *o0 = out, *o1 = o0 + stride, *o2 = o1 + stride, *o3 = o2 + stride, *o4 = o3 + stride,
        *o5 = o4 + stride;
  for (int64_t t = 0; t < tiles; ++t) {
    const float e = a[t + 1], f = b[t + 1];
    o0[t] = 4 * a[t] - 5 * c[t] + e;
    o1[t] = -4 * (b[t] + c[t]) + d[t] + e;
    o2[t] = 4 * (b[t] - c[t]) - d[t] + e;
    o3[t] = 2 * (d[t] - b[t]) - c[t] + e;
    o4[t] = 2 * (b[t] - d[t]) - c[t] + e;
    o5[t] = 4 * b[t] - 5 * d[t] + f;
  }
}

// A row of m times A. m: [6, stride], of which `tiles` are read -> out: [4 tiles]
LAUREL_EACH_WIDTH void inverse_along(const float* m, int64_t stride, int64_t tiles, float* out) {
  const float *a = m, *b = a + stride, *c = b + stride, *d = c + stride, *e = d + stride,
              *f = e + stride;
  for (int64_t t = 0; t < tiles; ++t) {
    const float p = b[t] + c[t], q = b[t] - c[t], u = d[t] + e[t], w = d[t] - e[t];
    out[4 * t] = a[t] + p + u;
    out[4 * t + 1] = q + 2 * w;
    out[4 * t + 2] = p + 4 * u;
    out[4 * t + 3] = q + 8 * w + f[t];
  }
}

// The rows of A^T m with the bias. m: [6, n] -> out: [4, n]
LAUREL_EACH_WIDTH void inverse_down(const float* m, int64_t n, float bias, float* out) {
  const float *a = m, *b = a + n, *c = b + n, *d = c + n, *e = d + n, *f = e + n;
  for (int64_t i = 0; i < n; ++i) {
    const float p = b[i] + c[i], q = b[i] - c[i], u = d[i] + e[i], w = d[i] - e[i];
    out[i] = a[i] + p + u + bias;
    out[n + i] = q + 2 * w + bias;
    out[2 * n + i] = p + 4 * u + bias;
    out[3 * n + i] = q + 8 * w + f[i] + bias;
  }
}

// G g G^T of every pair of channels. weight: [out, in, 3, 3] -> [36, out, in]
at::Tensor transformed(const at::Tensor& weight) {
  const at::Tensor g =
      at::tensor({1. / 4, 0., 0., -1. / 6, -1. / 6, -1. / 6, -1. / 6, 1. / 6, -1. / 6, 1. / 24,
                  1. / 12, 1. / 6, 1. / 24, -1. / 12, 1. / 6, 0., 0., 1.},
                 at::kDouble)
          .view({kWindow, 3});
  const int64_t out = weight.size(0), in = weight.size(1);
  return at::mm(at::kron(g, g).to(at::kFloat), weight.reshape({out * in, 9}).t())
      .view({kPoints, out, in});
}

// The tile rows of a batch of images, in order.
struct TileRows {
  int64_t height, width;         // of an image
  int64_t down, across;          // tiles of an image
  int64_t first = 0, count = 0;  // those of a block
  int64_t tiles() const { return count * across; }
  int64_t image(int64_t row) const { return (first + row) / down; }
  int64_t top(int64_t row) const { return (first + row) % down * kTile; }
};

// x: [B, in, H, W] -> v: [36, in, tiles]
void transform_block(const float* x, int64_t channels, const TileRows& rows, float* v) {
  const int64_t pixels = rows.height * rows.width, stride = channels * rows.tiles();
  at::parallel_for(0, channels, 1, [&](int64_t begin, int64_t end) {
    Scratch scratch(rows.across);
    float *read = scratch.rows.data(), *down = read + kWindow * scratch.padded;
    for (int64_t c = begin; c < end; ++c) {
      for (int64_t r = 0; r < rows.count; ++r) {
        read_rows(x + (rows.image(r) * channels + c) * pixels, rows.height, rows.width,
                  rows.top(r) - 1, scratch.padded, read);
        transform_down(read, scratch.padded, down);
        for (int64_t i = 0; i < kWindow; ++i)
          transform_along(down + i * scratch.padded, rows.across, scratch.columns.data(),
                          v + kWindow * i * stride + c * rows.tiles() + r * rows.across, stride);
      }
    }
  });
}

// Output channels that are computed together.
struct Channels {
  int64_t first, count, all;
};

// m: [36, channels.count, tiles], bias: [out] -> y: [B, out, H, W]
void inverse_block(
    const float* m, const Channels& channels, const TileRows& rows, const float* bias, float* y) {
  const int64_t pixels = rows.height * rows.width, stride = channels.count * rows.tiles();
  at::parallel_for(0, channels.count, 1, [&](int64_t begin, int64_t end) {
    const int64_t n = kTile * rows.across;
    std::vector<float> along(static_cast<size_t>(kWindow * n)), out(static_cast<size_t>(kTile * n));
    for (int64_t k = begin; k < end; ++k) {
      for (int64_t r = 0; r < rows.count; ++r) {
        for (int64_t i = 0; i < kWindow; ++i)
          inverse_along(m + kWindow * i * stride + k * rows.tiles() + r * rows.across, stride,
                        rows.across, along.data() + i * n);
        inverse_down(along.data(), n, bias[channels.first + k], out.data());
        float* image = y + (rows.image(r) * channels.all + channels.first + k) * pixels;
        for (int64_t i = 0; i < std::min(kTile, rows.height - rows.top(r)); ++i)
          std::memcpy(image + (rows.top(r) + i) * rows.width, out.data() + i * n,
                      static_cast<size_t>(rows.width) * sizeof(float));
      }
    }
  });
}

// x: [B, in, H, W], weight: [out, in, 3, 3], bias: [out] -> [B, out, H, W]
at::Tensor convolved(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  RECORD_FUNCTION(kWinogradName, std::vector<c10::IValue>({x, weight}));
  const at::RecordFunctionGuard unseen(false);  // its products are counted as a convolution's
  const int64_t in = x.size(1), out = weight.size(0);
  TileRows rows{x.size(2), x.size(3), tiles_of(x.size(2)), tiles_of(x.size(3))};
  const int64_t all = x.size(0) * rows.down;
  const int64_t most = std::min(all, std::max<int64_t>(1, kBlockTiles / rows.across));
  const bool one_block = most == all;
  const int64_t together = std::clamp<int64_t>(kWeights / (kPoints * in), 1, out);
  const auto room = [&](int64_t channels) {
    return at::empty({kPoints * channels * most * rows.across}, x.options());
  };
  const auto part = [&](const at::Tensor& tensor, int64_t channels) {
    return tensor.narrow(0, 0, kPoints * channels * rows.tiles())
        .view({kPoints, channels, rows.tiles()});
  };
  const at::Tensor images = x.contiguous(), v_room = room(in), m_room = room(together),
                   y = at::empty({x.size(0), out, rows.height, rows.width}, x.options());
  for (Channels now{0, 0, out}; now.first < out; now.first += together) {
    now.count = std::min(together, out - now.first);
    const at::Tensor u = transformed(weight.narrow(0, now.first, now.count));
    for (rows.first = 0; rows.first < all; rows.first += most) {
      rows.count = std::min(most, all - rows.first);
      const at::Tensor v = part(v_room, in);
      at::Tensor m = part(m_room, now.count);
      if (now.first == 0 || !one_block)
        transform_block(images.const_data_ptr<float>(), in, rows, v.mutable_data_ptr<float>());
      at::bmm_out(m, u, v);
      inverse_block(m.const_data_ptr<float>(), now, rows, bias.const_data_ptr<float>(),
                    y.mutable_data_ptr<float>());
    }
  }
  return y;
}

struct Winograd : torch::autograd::Function<Winograd> {
  static at::Tensor forward(torch::autograd::AutogradContext* context,
                            const at::Tensor& x,
                            const at::Tensor& weight,
                            const at::Tensor& bias) {
    context->save_for_backward({x, weight});
    return convolved(x, weight, bias.contiguous());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &grad = gradients[0];
    at::Tensor grad_x, grad_weight;
    if (context->needs_input_grad(0))  // the convolution with the transposed, turned weight
      grad_x = winograd_conv2d(grad, weight.transpose(0, 1).flip({2, 3}), {});
    if (context->needs_input_grad(1))
      grad_weight = std::get<1>(at::convolution_backward(
          grad, x, weight, {}, {1, 1}, {1, 1}, {1, 1}, false, {0, 0}, 1, {false, true, false}));
    return {grad_x, grad_weight, context->needs_input_grad(2) ? grad.sum({0, 2, 3}) : at::Tensor()};
  }
};

}  // namespace

bool winograd_fits(at::IntArrayRef x, at::IntArrayRef weight, int64_t stride, int64_t pad) {
  return x.size() == 4 && stride == 1 && pad == 1 && weight[2] == 3 && weight[3] == 3 &&
         x[2] * x[3] >= kLeastPixels && x[0] * tiles_of(x[2]) * tiles_of(x[3]) >= kLeastTiles &&
         x[1] >= kLeastWidth && weight[0] >= kLeastWidth;
}

bool winograd_pays(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t pad) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat &&
         !at::autocast::is_autocast_enabled(at::kCPU) &&
         winograd_fits(x.sizes(), weight.sizes(), stride, pad);
}

at::Tensor winograd_conv2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  TORCH_CHECK(x.is_cpu() && x.dim() == 4 && x.scalar_type() == at::kFloat && weight.dim() == 4 &&
                  weight.scalar_type() == at::kFloat && weight.size(1) == x.size(1) &&
                  weight.size(2) == 3 && weight.size(3) == 3,
              "winograd_conv2d: expected fp32 images [B, C, H, W] and weights [K, C, 3, 3] on the "
              "CPU, found ",
              x.sizes(), " and ", weight.sizes());
  return Winograd::apply(x, weight,
                         bias.defined() ? bias : at::zeros({weight.size(0)}, weight.options()));
}

}  // namespace nn
