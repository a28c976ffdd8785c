#include "tools/sample/comfy_workflow.hpp"

#include <nlohmann/json.hpp>

#include "data/base/json.hpp"

namespace tools {
namespace {

using nlohmann::ordered_json;

// ComfyUI's samplers that laurel has (comfy/samplers.py, SAMPLER_NAMES), and the scheduler of each
// where no spacing of noise was chosen. laurel's parser says which of its methods a name is.
constexpr std::pair<const char*, const char*> kSamplers[] = {
    {"euler", "normal"},      {"euler_ancestral", "normal"}, {"heun", "normal"},
    {"dpmpp_2m", "normal"},   {"dpmpp_2m_sde", "normal"},    {"dpmpp_sde", "normal"},
    {"ddpm", "normal"},       {"lcm", "sgm_uniform"},        {"deis", "normal"},
    {"ddim", "ddim_uniform"}, {"uni_pc_bh2", "normal"},
};
constexpr const char* kSchedulers[] = {"karras", "exponential", "beta"};

// An output of a node, by its place among the nodes.
struct Wire {
  size_t node = 0, slot = 0;
};

struct Node {
  const char* type;
  std::vector<std::pair<const char*, Wire>> inputs;
  std::vector<std::pair<const char*, ordered_json>> widgets;
  std::vector<const char*> outputs;  // their types, which are their names too
};

// The node's place; its outputs are wires from there.
size_t add(std::vector<Node>& graph, Node node) {
  graph.push_back(std::move(node));
  return graph.size() - 1;
}

// Nodes and inputs as ComfyUI's nodes.py declares them.
std::vector<Node> graph_of(const ComfySettings& settings,
                           const ComfyImage& image,
                           const ComfySampler& names) {
  std::vector<Node> graph;
  const size_t loader = add(graph, {"CheckpointLoaderSimple",
                                    {},
                                    {{"ckpt_name", settings.checkpoint}},
                                    {"MODEL", "CLIP", "VAE"}});
  Wire model{loader, 0}, clip{loader, 1};
  std::vector<LoraChoice> loras = settings.loras;
  loras.insert(loras.end(), image.loras.begin(), image.loras.end());
  for (const auto& lora : loras) {
    const size_t node = add(graph, {"LoraLoader",
                                    {{"model", model}, {"clip", clip}},
                                    {{"lora_name", lora.file.filename().string()},
                                     {"strength_model", lora.unet_weight},
                                     {"strength_clip", lora.text_weight}},
                                    {"MODEL", "CLIP"}});
    model = {node, 0};
    clip = {node, 1};
  }
  if (settings.clip_skip > 0)
    clip = {add(graph, {"CLIPSetLastLayer",
                        {{"clip", clip}},
                        {{"stop_at_clip_layer", -1 - settings.clip_skip}},
                        {"CLIP"}}),
            0};
  const auto encoded = [&](const std::string& text) {
    return Wire{
        add(graph, {"CLIPTextEncode", {{"clip", clip}}, {{"text", text}}, {"CONDITIONING"}}), 0};
  };
  const Wire positive = encoded(image.prompt), negative = encoded(image.negative_prompt);
  const Wire latent{
      add(graph, {"EmptyLatentImage",
                  {},
                  {{"width", image.width}, {"height", image.height}, {"batch_size", 1}},
                  {"LATENT"}}),
      0};
  const size_t sampled = add(
      graph,
      {"KSampler",
       {{"model", model}, {"positive", positive}, {"negative", negative}, {"latent_image", latent}},
       {{"seed", image.seed},
        {"steps", image.steps},
        {"cfg", image.cfg_scale},
        {"sampler_name", names.sampler_name},
        {"scheduler", names.scheduler},
        {"denoise", 1.0}},
       {"LATENT"}});
  const size_t decoded =
      add(graph, {"VAEDecode", {{"samples", {sampled, 0}}, {"vae", {loader, 2}}}, {}, {"IMAGE"}});
  add(graph, {"SaveImage", {{"images", {decoded, 0}}}, {{"filename_prefix", "laurel"}}, {}});
  return graph;
}

std::string id_of(size_t node) { return std::to_string(node + 1); }

// { "1": { "class_type": ..., "inputs": { "clip": ["4", 1], "text": ... } }, ... }
ordered_json api_form(const std::vector<Node>& graph) {
  ordered_json nodes = ordered_json::object();
  for (size_t i = 0; i < graph.size(); ++i) {
    ordered_json inputs = ordered_json::object();
    for (const auto& [name, value] : graph[i].widgets) inputs[name] = value;
    for (const auto& [name, wire] : graph[i].inputs)
      inputs[name] = ordered_json::array({id_of(wire.node), wire.slot});
    nodes[id_of(i)] = {{"class_type", graph[i].type}, {"inputs", inputs}};
  }
  return nodes;
}

// A wire in the page's form: [id, from, slot, to, slot, type].
struct Link {
  Wire from;
  size_t to, input;
};

ordered_json page_node(const std::vector<Node>& graph, const std::vector<Link>& links, size_t at) {
  const Node& node = graph[at];
  ordered_json inputs = ordered_json::array(), outputs = ordered_json::array(),
               values = ordered_json::array();
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const auto& [name, wire] = node.inputs[i];
    for (size_t l = 0; l < links.size(); ++l) {
      if (links[l].to == at && links[l].input == i)
        inputs.push_back(
            {{"name", name}, {"type", graph[wire.node].outputs[wire.slot]}, {"link", l + 1}});
    }
  }
  for (size_t slot = 0; slot < node.outputs.size(); ++slot) {
    ordered_json out = ordered_json::array();
    for (size_t l = 0; l < links.size(); ++l) {
      if (links[l].from.node == at && links[l].from.slot == slot) out.push_back(l + 1);
    }
    outputs.push_back({{"name", node.outputs[slot]},
                       {"type", node.outputs[slot]},
                       {"links", out},
                       {"slot_index", slot}});
  }
  for (const auto& [name, value] : node.widgets) {
    values.push_back(value);
    if (std::string(name) == "seed") values.push_back("fixed");  // control_after_generate
  }
  return {{"id", at + 1},
          {"type", node.type},
          {"pos", {320 * static_cast<int64_t>(at), 100}},
          {"size", {300, 200}},
          {"flags", ordered_json::object()},
          {"order", at},
          {"mode", 0},
          {"inputs", inputs},
          {"outputs", outputs},
          {"properties", {{"Node name for S&R", node.type}}},
          {"widgets_values", values}};
}

ordered_json page_form(const std::vector<Node>& graph) {
  std::vector<Link> links;
  ordered_json nodes = ordered_json::array(), wires = ordered_json::array();
  for (size_t at = 0; at < graph.size(); ++at) {
    for (size_t i = 0; i < graph[at].inputs.size(); ++i)
      links.push_back({graph[at].inputs[i].second, at, i});
  }
  for (size_t at = 0; at < graph.size(); ++at) nodes.push_back(page_node(graph, links, at));
  for (size_t l = 0; l < links.size(); ++l) {
    const auto& [from, to, input] = links[l];
    wires.push_back(ordered_json::array(
        {l + 1, from.node + 1, from.slot, to + 1, input, graph[from.node].outputs[from.slot]}));
  }
  return {{"last_node_id", graph.size()},
          {"last_link_id", links.size()},
          {"nodes", nodes},
          {"links", wires},
          {"groups", ordered_json::array()},
          {"config", ordered_json::object()},
          {"extra", ordered_json::object()},
          {"version", 0.4}};
}

}  // namespace

ComfySampler comfy_sampler(const diffusion::SamplerChoice& choice) {
  for (const auto& [name, scheduler] : kSamplers) {
    if (diffusion::sampler_from_name(name, "ComfyUI").sampler != choice.sampler) continue;
    if (!choice.sigma_schedule || !choice.sampler->takes_sigma_schedule) return {name, scheduler};
    for (const char* spacing : kSchedulers) {
      const auto known = diffusion::sampler_from_name(std::string("euler_") + spacing, "ComfyUI");
      if (known.sigma_schedule == choice.sigma_schedule) return {name, spacing};
    }
  }
  return {};
}

data::PngText comfy_chunks(const ComfySettings& settings, const ComfyImage& image) {
  const ComfySampler names = comfy_sampler(settings.choice);
  if (settings.checkpoint.empty() || names.sampler_name.empty()) return {};
  const auto graph = graph_of(settings, image, names);
  return {{"prompt", data::to_text(api_form(graph))},
          {"workflow", data::to_text(page_form(graph))}};
}

}  // namespace tools
