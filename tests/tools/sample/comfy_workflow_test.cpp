#include "tools/sample/comfy_workflow.hpp"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/json.hpp"

namespace {

using nlohmann::json;

// The required inputs of ComfyUI's nodes (nodes.py, INPUT_TYPES), and their outputs (RETURN_TYPES).
struct Declared {
  std::set<std::string> inputs;
  std::vector<std::string> outputs;
};
const std::map<std::string, Declared> kNodes{
    {"CheckpointLoaderSimple", {{"ckpt_name"}, {"MODEL", "CLIP", "VAE"}}},
    {"LoraLoader",
     {{"model", "clip", "lora_name", "strength_model", "strength_clip"}, {"MODEL", "CLIP"}}},
    {"CLIPSetLastLayer", {{"clip", "stop_at_clip_layer"}, {"CLIP"}}},
    {"CLIPTextEncode", {{"text", "clip"}, {"CONDITIONING"}}},
    {"EmptyLatentImage", {{"width", "height", "batch_size"}, {"LATENT"}}},
    {"KSampler",
     {{"model", "seed", "steps", "cfg", "sampler_name", "scheduler", "positive", "negative",
       "latent_image", "denoise"},
      {"LATENT"}}},
    {"VAEDecode", {{"samples", "vae"}, {"IMAGE"}}},
    {"SaveImage", {{"images", "filename_prefix"}, {}}},
};

tools::ComfySettings settings() {
  return {.checkpoint = "model.safetensors",
          .choice = diffusion::sampler_from_name("dpm++2m_karras", "test"),
          .clip_skip = 1,
          .loras = {{.file = "folder/a.safetensors", .unet_weight = 0.8, .text_weight = 0.5}}};
}
tools::ComfyImage image() {
  return {.prompt = "a \"cat\"",
          .negative_prompt = "blur",
          .seed = 18446744073709551615u,
          .steps = 20,
          .width = 512,
          .height = 768,
          .cfg_scale = 7.5,
          .loras = {{.file = "b.safetensors"}}};
}

json chunk(const std::string& name) {
  return data::parse_json(tools::comfy_chunks(settings(), image()).at(name));
}

TEST(ComfyWorkflow, TheApiFormHasTheInputsThatComfyUiDeclares) {
  const json prompt = chunk("prompt");
  std::map<std::string, int> count;
  for (const auto& [id, node] : prompt.items()) {
    const auto& declared = kNodes.at(node.at("class_type"));
    ++count[node.at("class_type")];
    std::set<std::string> inputs;
    for (const auto& [name, value] : node.at("inputs").items()) {
      inputs.insert(name);
      if (!value.is_array()) continue;
      const auto& from = kNodes.at(prompt.at(value[0].get<std::string>()).at("class_type"));
      ASSERT_LT(value[1].get<size_t>(), from.outputs.size());
    }
    EXPECT_EQ(inputs, declared.inputs) << node;
  }
  EXPECT_EQ(count["LoraLoader"], 2);
  EXPECT_EQ(count["CLIPTextEncode"], 2);
  EXPECT_EQ(count["KSampler"], 1);
}

TEST(ComfyWorkflow, ValuesAreTheImages) {
  const json prompt = chunk("prompt");
  const auto of = [&](const std::string& type) {
    for (const auto& [id, node] : prompt.items()) {
      if (node.at("class_type") == type) return node.at("inputs");
    }
    return json();
  };
  const json sampler = of("KSampler");
  EXPECT_EQ(sampler.at("seed"), 18446744073709551615u);
  EXPECT_EQ(sampler.at("sampler_name"), "dpmpp_2m");
  EXPECT_EQ(sampler.at("scheduler"), "karras");
  EXPECT_EQ(sampler.at("cfg"), 7.5);
  EXPECT_EQ(of("CLIPSetLastLayer").at("stop_at_clip_layer"), -2);
  EXPECT_EQ(of("EmptyLatentImage").at("height"), 768);
  EXPECT_EQ(of("LoraLoader").at("lora_name"), "a.safetensors");
  EXPECT_EQ(of("LoraLoader").at("strength_clip"), 0.5);
  const std::string positive = sampler.at("positive")[0];
  EXPECT_EQ(prompt.at(positive).at("inputs").at("text"), "a \"cat\"");
}

// Every link is named at both of its ends, with one type.
TEST(ComfyWorkflow, ThePagesFormIsWiredAsTheApisIs) {
  const json page = chunk("workflow");
  const auto& nodes = page.at("nodes");
  EXPECT_EQ(page.at("last_node_id"), nodes.size());
  EXPECT_EQ(page.at("last_link_id"), page.at("links").size());
  for (const auto& link : page.at("links")) {
    const auto& from = nodes.at(link[1].get<size_t>() - 1).at("outputs").at(link[2].get<size_t>());
    const auto& to = nodes.at(link[3].get<size_t>() - 1).at("inputs").at(link[4].get<size_t>());
    EXPECT_EQ(from.at("type"), link[5]);
    EXPECT_EQ(to.at("type"), link[5]);
    EXPECT_EQ(to.at("link"), link[0]);
    EXPECT_NE(std::find(from.at("links").begin(), from.at("links").end(), link[0]),
              from.at("links").end());
  }
  for (const auto& node : nodes) {
    if (node.at("type") == "KSampler") {  // the seed's control stands behind it
      EXPECT_EQ(node.at("widgets_values").size(), 7u);
    }
  }
}

TEST(ComfyWorkflow, NamesOfSamplersAreComfyUis) {
  const auto named = [](const char* name) {
    const auto found = tools::comfy_sampler(diffusion::sampler_from_name(name, "test"));
    return found.sampler_name + " " + found.scheduler;
  };
  EXPECT_EQ(named("ddim"), "ddim ddim_uniform");
  EXPECT_EQ(named("Euler a"), "euler_ancestral normal");
  EXPECT_EQ(named("unipc"), "uni_pc_bh2 normal");
  EXPECT_EQ(named("dpm++2m_sde_karras"), "dpmpp_2m_sde karras");
  EXPECT_EQ(named("heun_beta"), "heun beta");
  EXPECT_EQ(named("lcm"), "lcm sgm_uniform");
  EXPECT_EQ(named("pndm"), " ");
}

TEST(ComfyWorkflow, NoneIsWrittenWhereItWouldSayAnotherThing) {
  tools::ComfySettings lacking = settings();
  lacking.choice = diffusion::sampler_from_name("tcd", "test");
  EXPECT_TRUE(tools::comfy_chunks(lacking, image()).empty());
  EXPECT_TRUE(tools::comfy_chunks({}, image()).empty());
}

}  // namespace
