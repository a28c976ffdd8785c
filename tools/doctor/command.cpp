#include "tools/doctor/command.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "data/base/error.hpp"
#include "data/base/json.hpp"
#include "data/base/strings.hpp"
#include "data/device/memory.hpp"
#include "data/nn/kernels/kernels.hpp"
#include "data/profile/precision_speed.hpp"
#include "finetune/distributed/nccl_loader.hpp"
#include "tools/cli/gpu_diagnosis.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/options.hpp"

namespace fs = std::filesystem;

namespace tools {

namespace {

enum class Severity { kGood, kNote, kProblem };

struct Finding {
  std::string name{}, value{};
  Severity severity = Severity::kGood;
  std::string advice{};  // what to do, or what it means
};

constexpr double kGigabyte = 1e9;
constexpr double kLeastMemory =
    3e9;  // bytes that finetuning the embedded models needs, with a margin
constexpr double kLeastDisk = 2e9;
constexpr double kProbeSeconds = 0.3;
constexpr int kNoDevice = 100;  // result of cuInit with a driver and without a GPU

std::string rounded(double value, int digits) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(digits) << value;
  return text.str();
}

// The value after `key` in /proc/cpuinfo or /proc/meminfo: "model name : X" -> "X". Empty when the
// key is missing.
std::string proc_value(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    if (!line.starts_with(key) || colon == std::string::npos || colon + 2 > line.size()) continue;
    const size_t start = line.find_first_not_of(" \t", colon + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

// "12345 kB" -> bytes
double proc_bytes(const std::string& key) {
  const std::string value = proc_value("/proc/meminfo", key);
  return value.empty() ? 0 : std::strtod(value.c_str(), nullptr) * 1024;
}

Finding processor() {
  const std::string flags = " " + proc_value("/proc/cpuinfo", "flags") + " ";
  std::string simd;
  for (const char* name : {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}) {
    if (flags.find(" " + std::string(name) + " ") != std::string::npos)
      simd += std::string(" ") + name;
  }
  const std::string model = proc_value("/proc/cpuinfo", "model name");
  Finding finding{.name = "processor", .value = (model.empty() ? "unknown" : model) + "," + simd};
#if defined(__x86_64__)
  if (simd.find("avx2") == std::string::npos) {
    finding.severity = Severity::kProblem;
    finding.advice = "without AVX2 libtorch is many times slower; use a machine from 2015 or later";
  }
#endif
  return finding;
}

Finding threads() {
  return {.name = "threads",
          .value = std::to_string(at::get_num_threads()) + " used of " +
                   std::to_string(std::thread::hardware_concurrency()),
          .advice = "set OMP_NUM_THREADS to change this"};
}

Finding memory() {
  const double free = data::available_memory();
  Finding finding{.name = "memory",
                  .value = rounded(free / kGigabyte, 1) + " GB free of " +
                           rounded(proc_bytes("MemTotal") / kGigabyte, 1) + " GB"};
  if (free < kLeastMemory) {
    finding.severity = Severity::kProblem;
    finding.advice = "finetuning can run out of memory with less than " +
                     rounded(kLeastMemory / kGigabyte, 0) +
                     " GB: close other programs, or lower --batch-size";
  }
  return finding;
}

Finding disk() {
  std::error_code error;
  const auto space = fs::space(fs::current_path(), error);
  const auto free = static_cast<double>(space.available);
  Finding finding{
      .name = "disk",
      .value = error ? error.message() : rounded(free / kGigabyte, 1) + " GB free here"};
  if (error || free < kLeastDisk) {
    finding.severity = Severity::kProblem;
    finding.advice = "runs write checkpoints and images: free some space, or use another folder";
  }
  return finding;
}

std::vector<Finding> speed() {
  const auto fp32 = data::measure_precision(at::kFloat, kProbeSeconds);
  const auto bf16 = data::measure_precision(at::kBFloat16, kProbeSeconds);
  const auto text = [](const data::PrecisionSpeed& speed) {
    return rounded(speed.matmul, 1) + " GFLOP/s matmul, " + rounded(speed.convolution, 1) +
           " training a convolution";
  };
  const bool slower = bf16.convolution < fp32.convolution;
  return {{.name = "fp32", .value = text(fp32)},
          {.name = "bf16",
           .value = text(bf16),
           .severity = slower ? Severity::kNote : Severity::kGood,
           .advice = data::compare_precisions(fp32, bf16) +
                     (slower ? "; keep --precision fp32" : "; try --precision bf16")}};
}

// A library of the cuda preset, and what replaces it when it cannot be used.
Finding part_of_gpus(const std::string& name,
                     const std::string& trouble,
                     const std::string& with,
                     const std::string& without) {
  return {.name = name,
          .value = trouble.empty() ? with : without,
          .severity = trouble.empty() ? Severity::kGood : Severity::kNote,
          .advice = trouble};
}

// Loads libtorch's CUDA part when there is a driver.
std::vector<Finding> gpu() {
  GpuFacts facts = probe_gpu();
  ask_torch(facts, 0);
  Finding finding{.name = "GPU"};
  for (const auto& device : facts.gpus) {
    finding.value += (finding.value.empty() ? "" : ", ") + device.name + " " +
                     rounded(static_cast<double>(device.memory_bytes) / kGigabyte, 0) + " GB";
  }
  if (facts.gpus.empty()) finding.value = "none";
  if (facts.driver_cuda > 0) finding.value += "; driver for CUDA " + cuda_text(facts.driver_cuda);
  if (facts.torch_cuda > 0) finding.value += ", libtorch for " + cuda_text(facts.torch_cuda);
  finding.advice = describe_gpu_trouble(facts);
  const bool none = facts.gpus.empty() && (!facts.driver || facts.init_status == kNoDevice);
  if (!finding.advice.empty()) finding.severity = none ? Severity::kNote : Severity::kProblem;
  std::vector<Finding> findings{finding};
  if (!facts.gpus.empty())
    findings.push_back(
        part_of_gpus("kernels", kernels::trouble_beside_program(), "laurel's own", "libtorch's"));
  if (facts.gpus.size() > 1)
    findings.push_back(
        part_of_gpus("sums of GPUs", finetune::nccl_problem(), "NCCL", "through host memory"));
  return findings;
}

Finding libtorch() {
  const bool cuda = !probe_gpu().torch_library.empty();
  return {.name = "libtorch",
          .value = std::string(TORCH_VERSION) + (cuda ? ", CPU and CUDA" : ", CPU only"),
          .advice = "SIMD in use: " + at::get_cpu_capability()};
}

// "tiny-world, tiny-world-flow": what --model takes by name.
std::string checkpoints_in(const fs::path& folder) {
  std::set<std::string> names;
  std::error_code unreadable;
  for (const auto& entry : fs::directory_iterator(folder, unreadable)) {
    if (fs::exists(entry.path() / "model_index.json")) names.insert(entry.path().filename());
  }
  return data::joined(names, ", ");
}

Finding models() {
  const fs::path folder = embedded_models();
  Finding finding{
      .name = "models",
      .value = folder.empty() ? "none" : folder.string() + ": " + checkpoints_in(folder)};
  std::string missing;
  for (const char* part : {"tiny-world/unet", "tiny-world/vae", "tiny-world/text_encoder",
                           "tiny-world/clip", "rewards/aesthetic.safetensors"}) {
    if (!fs::exists(folder / part)) missing += (missing.empty() ? "" : ", ") + std::string(part);
  }
  if (folder.empty() || !missing.empty()) {
    finding.severity = Severity::kProblem;
    finding.advice =
        (folder.empty() ? "the embedded models are missing" : "missing: " + missing) +
        "; keep the binary in its tree or archive, or set LAUREL_MODELS to the models folder";
  }
  return finding;
}

std::vector<Finding> examine() {
  std::vector<Finding> findings{processor(), threads(), memory(), disk(), libtorch()};
  for (const auto& finding : speed()) findings.push_back(finding);
  for (const auto& finding : gpu()) findings.push_back(finding);
  findings.push_back(models());
  return findings;
}

const char* word(Severity severity) {
  return severity == Severity::kGood ? "ok" : severity == Severity::kNote ? "note" : "problem";
}

void print(const std::vector<Finding>& findings) {
  for (const auto& [name, value, severity, advice] : findings) {
    std::cout << std::left << std::setw(9) << word(severity) << std::setw(13) << name << value
              << "\n";
    if (!advice.empty())
      std::cout << std::string(22, ' ') << (severity == Severity::kProblem ? "-> " : "") << advice
                << "\n";
  }
}

void print_json(const std::vector<Finding>& findings) {
  auto list = nlohmann::ordered_json::array();
  for (const auto& [name, value, severity, advice] : findings)
    list.push_back(
        {{"name", name}, {"value", value}, {"verdict", word(severity)}, {"advice", advice}});
  std::cout << data::to_text(list, 2) << "\n";
}

int doctor_command(const std::vector<std::string>& arguments) {
  bool json = false;
  Options options("doctor",
                  "Checks this machine: what laurel can use, what is missing and how to correct "
                  "it.\nExit code 1: a problem.");
  options.flag("json", json, "print JSON");
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty())
    throw data::BadInput("laurel doctor: expected no argument, found '" + parsed.positional[0] +
                         "'");
  const auto findings = examine();
  json ? print_json(findings) : print(findings);
  const auto problems = std::count_if(findings.begin(), findings.end(),
                                      [](auto& f) { return f.severity == Severity::kProblem; });
  if (!json)
    std::cout << (problems ? std::to_string(problems) + " to correct\n" : "no problem found\n");
  return problems ? 1 : 0;
}

}  // namespace

const Command kDoctor{"doctor", "check what this machine can do and what is missing",
                      doctor_command};

}  // namespace tools
