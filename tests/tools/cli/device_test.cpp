#include "data/device/device.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <limits>

#include "data/nn/kernels/kernels.hpp"
#include "finetune/distributed/nccl_loader.hpp"
#include "tests/support/bad_input.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/gpu_diagnosis.hpp"

namespace {

using tools::GpuFacts;

std::string message_of(const tools::DeviceConfig& config, int64_t local_rank = 0) {
  return refusal([&] { tools::open_device(config, local_rank); });
}

bool has_gpu() { return tools::describe_gpu_trouble(tools::probe_gpu()).empty(); }

void expect_words(const std::string& text, const std::vector<std::string>& words) {
  EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  for (const auto& word : words)
    EXPECT_NE(text.find(word), std::string::npos) << "no '" << word << "' in: " << text;
}

TEST(Device, CpuIsWhatWasAskedFor) {
  const auto placement = tools::open_device({.device = "cpu"});
  EXPECT_TRUE(placement.device.is_cpu());
  EXPECT_EQ(placement.compute, at::kFloat);
}

TEST(Device, CudaWithoutAGpuSaysWhatToDo) {
  if (has_gpu()) GTEST_SKIP() << "this machine has a GPU";
  expect_words(message_of({.device = "cuda"}), {"--device cuda", "--device cpu"});
  EXPECT_TRUE(tools::open_device({.device = "auto"}).device.is_cpu());
}

TEST(DeviceWithGpu, ComputesTheSameProduct) {
  if (!has_gpu()) GTEST_SKIP() << tools::describe_gpu_trouble(tools::probe_gpu());
  const auto placement = tools::open_device({.device = "cuda"});
  const auto a = at::arange(12, at::kFloat).reshape({3, 4});
  const auto product = a.to(placement.device).mm(a.t().to(placement.device)).cpu();
  EXPECT_TRUE(at::allclose(product, a.mm(a.t())));
}

TEST(Device, UnknownWordsAreRefused) {
  for (const char* word : {"tpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "gpu:0"})
    expect_words(message_of({.device = word}), {"--device: expected one of", word});
  expect_words(message_of({.device = "cpu", .precision = "fp8"}), {"'fp8'"});
  expect_words(message_of({.device = "cpu", .precision = "fp16"}), {"fp32"});
}

// A machine without problems.
GpuFacts good() {
  GpuFacts facts;
  facts.driver = true;
  facts.driver_cuda = 13000;
  facts.gpus = {{.name = "A", .memory_bytes = 24000000000}, {.name = "B", .memory_bytes = 8}};
  facts.torch_library = "/there/libtorch_cuda.so";
  facts.torch_cuda = 13000;
  return facts;
}

std::string trouble(void (*spoil)(GpuFacts& facts)) {
  GpuFacts facts = good();
  spoil(facts);
  return tools::describe_gpu_trouble(facts);
}

TEST(GpuTrouble, NoneWhereAllIsWell) {
  EXPECT_EQ(tools::describe_gpu_trouble(good()), "");
  // A driver supports older CUDA versions, and all minor versions of its own major version.
  EXPECT_EQ(trouble([](GpuFacts& f) { f.torch_cuda = 12080; }), "");
  EXPECT_EQ(trouble([](GpuFacts& f) { f.torch_cuda = 13020; }), "");
}

TEST(GpuTrouble, EachIsNamedWithWhatToDo) {
  expect_words(trouble([](GpuFacts& f) { f.driver = false; }), {"no NVIDIA driver", "install"});
  expect_words(trouble([](GpuFacts& f) { f.gpus.clear(); }), {"finds no GPU", "nvidia-smi"});
  expect_words(trouble([](GpuFacts& f) { f.init_status = 100, f.hidden = true; }),
               {"cuInit: 100", "CUDA_VISIBLE_DEVICES"});
  expect_words(trouble([](GpuFacts& f) { f.init_status = 34; }), {"stub", "LD_LIBRARY_PATH"});
  expect_words(trouble([](GpuFacts& f) { f.init_status = 803; }),
               {"different versions", "restart"});
  expect_words(trouble([](GpuFacts& f) { f.init_status = 802; }), {"fabricmanager"});
  expect_words(trouble([](GpuFacts& f) { f.init_status = 804; }), {"forward-compatibility"});
  expect_words(trouble([](GpuFacts& f) { f.torch_library.clear(); }),
               {"libtorch_cuda.so", "tools/setup --gpu"});
  expect_words(trouble([](GpuFacts& f) { f.load_error = "libcudart.so.13: no"; }),
               {"libcudart.so.13: no", "tools/setup --gpu"});
  expect_words(trouble([](GpuFacts& f) { f.torch_finds = false; }), {"finds no usable GPU"});
  expect_words(trouble([](GpuFacts& f) { f.compute_error = "no kernel image"; }),
               {"no kernel image", "13.0"});
}

TEST(GpuTrouble, AnOldDriverIsNamedWithBothVersions) {
  expect_words(trouble([](GpuFacts& f) { f.driver_cuda = 12040; }),
               {"driver supports CUDA 12.4", "built for CUDA 13.0", "580 or newer"});
  expect_words(trouble([](GpuFacts& f) { f.driver_cuda = 11080, f.torch_cuda = 12060; }),
               {"11.8", "12.6", "525 or newer"});
}

TEST(GpuIndex, IsTheLocalRanksOrTheNamedOne) {
  EXPECT_EQ(tools::gpu_index("cuda", 0, 2), 0);
  EXPECT_EQ(tools::gpu_index("auto", 1, 2), 1);
  EXPECT_EQ(tools::gpu_index("cuda:1", 0, 2), 1);
  const auto refused = [](const std::string& device, int64_t rank, int64_t gpus) {
    return refusal([&] { tools::gpu_index(device, rank, gpus); });
  };
  expect_words(refused("cuda:2", 0, 2), {"from 0 to 1", "2 GPUs"});
  expect_words(refused("cuda:1", 0, 1), {"from 0 to 0", "1 GPU "});
  expect_words(refused("cuda:1", 1, 4), {"local rank"});
  expect_words(refused("cuda", 2, 2), {"2 GPUs", "local rank 2", "at most 2"});
}

// Environment for a shell: laurel loads a fake driver with these answers
// (tests/support/fake_cuda_driver.cpp).
std::string with_driver(const std::string& says) {
  const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  return says + " LD_LIBRARY_PATH=" + (folder / "fake_driver").string() + " ";
}

TEST(Driver, WhatItSaysIsToldInALine) {
  const std::string sample = "sample 'a red circle' --device ";
  const auto refused = [&](const std::string& says, const std::string& device,
                           const std::vector<std::string>& expected) {
    bad_input::expect_complaint(bad_input::run_laurel(sample + device, "", with_driver(says)),
                                expected, "");
  };
  refused("FAKE_CUDA_INIT=803", "cuda", {"--device cuda: ", "different versions"});
  refused("FAKE_CUDA_INIT=100", "cuda", {"cuInit: 100"});
  refused("FAKE_CUDA_GPUS=0", "cuda", {"finds no GPU"});
  refused("FAKE_CUDA_GPUS=2", "cuda:2", {"--device cuda:2", "from 0 to 1", "2 GPUs"});
  // The driver lists a GPU that does not exist, so that libtorch cannot use it.
  refused("FAKE_CUDA_GPUS=1", "cuda", {"--device cuda: ", "libtorch", "--device cpu"});
}

TEST(Driver, TheDoctorSaysTheSame) {
  const std::string command = with_driver("FAKE_CUDA_INIT=803") + "OMP_NUM_THREADS=1 " +
                              std::string(tests::program()) + " doctor 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  std::string text;
  for (int letter = fgetc(pipe); letter != EOF; letter = fgetc(pipe))
    text += static_cast<char>(letter);
  EXPECT_EQ(WEXITSTATUS(pclose(pipe)), 1) << text;
  GpuFacts facts = good();
  facts.init_status = 803;
  EXPECT_NE(text.find(tools::describe_gpu_trouble(facts)), std::string::npos) << text;
  EXPECT_EQ(text.find("kernels"), std::string::npos) << text;  // no GPU to have them
}

// The built libraries are beside laurel, not beside the tests.
TEST(CudaPreset, WhatItBuildsIsNamedWhereItIsMissing) {
  expect_words(finetune::nccl_problem(),
               {"liblaurel_nccl.so is missing", "cuda preset", "host memory"});
  EXPECT_EQ(finetune::find_nccl(), nullptr);
  expect_words(kernels::trouble_beside_program(),
               {"liblaurel_kernels.so is missing", "cuda preset"});
}

TEST(DeviceMemory, OfTheCpu) {
  EXPECT_EQ(data::peak_bytes(at::kCPU, [] { at::empty({250}); }), 1000);
  EXPECT_EQ(data::peak_bytes(at::kMeta, [] { at::empty({250}, at::TensorOptions(at::kMeta)); }),
            1000);
  EXPECT_GT(data::used_memory(at::kCPU), 1e6);
  EXPECT_EQ(data::memory_within_reach(at::kCPU), std::numeric_limits<double>::infinity());
  EXPECT_EQ(tools::memory_limit("12GB", at::kCPU), 12e9);
  EXPECT_NE(refusal([] { tools::memory_limit("much", at::kCPU); }).find("'much'"),
            std::string::npos);
  data::synchronize(at::kCPU);
}

TEST(PrecisionScope, RunsProductsInItsTypeWhileItLives) {
  const auto a = at::rand({4, 4});
  {
    const tools::PrecisionScope scope({.device = at::kCPU, .compute = at::kBFloat16, .name = ""});
    EXPECT_EQ(at::mm(a, a).scalar_type(), at::kBFloat16);
  }
  EXPECT_EQ(at::mm(a, a).scalar_type(), at::kFloat);
  const tools::PrecisionScope none({.device = at::kCPU, .compute = at::kFloat, .name = ""});
  EXPECT_EQ(at::mm(a, a).scalar_type(), at::kFloat);
}

// After training a weight that was used before, the next use has the new value and a gradient.
TEST(PrecisionScope, SeesWhatWasTrained) {
  const tools::PrecisionScope scope({.device = at::kCPU, .compute = at::kBFloat16, .name = ""});
  const at::Tensor x = at::ones({2, 2}), weight = at::zeros({2, 2}).requires_grad_(true);
  {
    const at::NoGradGuard no_gradient;
    EXPECT_EQ(at::linear(x, weight).sum().item<double>(), 0);
    weight.fill_(1);
  }
  const at::Tensor sum = at::linear(x, weight).sum();
  EXPECT_EQ(sum.item<double>(), 8);
  sum.backward();
  EXPECT_TRUE(weight.grad().defined());
}

}  // namespace
