#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <typeinfo>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "tests/fuzz/target.hpp"

namespace fuzz {

const Targets& targets() {
  static const Targets all = [] {
    Targets list;
    for (Targets (*const rows)() :
         {text_targets, weights_targets, tokenizer_targets, prompt_targets, image_targets,
          list_targets, server_targets, judge_targets, reward_targets, lora_targets, config_targets,
          run_targets}) {
      Targets some = rows();
      std::move(some.begin(), some.end(), std::back_inserter(list));
    }
    return list;
  }();
  return all;
}

const Target* target_of(const std::string& name) {
  for (const Target& target : targets()) {
    if (name == target.name) return &target;
  }
  return nullptr;
}

std::vector<std::string> seeds_of(const Target& target) {
  std::vector<std::string> seeds = target.seeds;
  for (const auto& file : target.golden)
    seeds.push_back(data::read_file(std::string(LAUREL_SOURCE_DIR) + "/tests/golden/" + file));
  return seeds;
}

std::string check(const Target& target, std::string_view input) {
  try {
    target.run(input);
    return "";
  } catch (const data::BadInput& refused) {
    if (refused.what()[0] != '\0') return refused.what();
    std::fprintf(stderr, "%s: a refusal without a message\n", target.name);
  } catch (const std::exception& fault) {
    std::fprintf(stderr, "%s: threw %s: %s\n", target.name, typeid(fault).name(), fault.what());
  }
  std::abort();
}

}  // namespace fuzz
