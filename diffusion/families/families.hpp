#pragma once

// The families of models: one row each, with what tells its files apart and what they do not hold.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace diffusion {

// A text encoder of a family: a CLIP, or as its t5_encoder T5.
struct FamilyEncoder {
  const char* part;       // diffusers' folder: kTextPart
  const char* tokenizer;  // diffusers' folder: "tokenizer"
  const char* prefix;     // of its tensors in a single file: "cond_stage_model.transformer."
  const char* class_name = "CLIPTextModel";  // transformers', where the checkpoint names none
  bool open_clip = false;                    // a single file has OpenCLIP's names; GELU by erf
  bool drops_last_layer = false;   // it is read before its last layer, which diffusers leaves out
  bool gelu = false;               // GELU by erf, under transformers' names
  bool projects_identity = false;  // a single file's pooled text is not projected
  const char* stem = "";           // of its own file beside one that lacks it: "clip_l"
};

// Whether the encoder's pooled text is projected.
bool projects(const FamilyEncoder& encoder);

// A pipeline of diffusers (model_index.json's _class_name).
struct PipelineClass {
  const char* name;
  bool edits_images = false;     // its network reads a source image
  bool embeds_guidance = false;  // its network reads the guidance scale
};

struct ModelFamily {
  const char* name;
  bool supported = true;     // false: recognised, and refused by its name
  const char* instead = "";  // of a refused one: what to do

  // What tells it from the others.
  std::vector<const char*> prefixes{};  // of tensors that a single file of it alone has
  int64_t context_width = 0;       // of the text that its full-size network and LoRAs attend to
  bool reads_pooled_text = false;  // its network reads pooled text and sizes (SDXL)
  bool says_velocity = false;      // its network says flow matching's velocity
  bool linear_projection = false;  // linear layers, not 1x1 convolutions, around transformers
  std::vector<PipelineClass> classes{};  // [0]: that of a plain checkpoint

  // Its parts.
  const char* network_part = "unet";
  const char* network_class = "UNet2DConditionModel";
  const char* blocks = "";  // numbered modules of a transformer's single file: "joint_blocks."
  std::vector<FamilyEncoder> text_encoders{};  // CLIPs
  std::optional<FamilyEncoder> t5_encoder{};   // which a checkpoint may lack, unless t5_alone
  bool t5_alone = false;      // the network reads T5's rows alone, and the CLIP's pooled text
  const char* vae_stem = "";  // of the VAE's own file beside one that lacks it: "ae"
  // Further parts of its pipeline's class in diffusers, which model_index.json says are absent.
  std::vector<const char*> absent_parts{"feature_extractor", "image_encoder"};

  // What the tensors of a single file do not tell.
  const char* scheduler_class = nullptr;  // diffusers'; nullptr: DDIM
  double flow_shift = 0;                  // of a scheduler of flow matching; 0: it has another
  bool even_times = false;                // its pipeline's own times: FlowConfig
  int64_t sample_size = 64;               // latent side that it was trained at
  int64_t vae_sample_size = 512;          // pixels of a side
  double scaling_factor = 0.18215;        // of the VAE
  double shift_factor = 0;
  bool vae_overflows = false;              // its VAE may overflow in fp16
  int64_t unet_heads = 0;                  // of every level; 0: the width by 64
  std::optional<double> guidance_scale{};  // that its networks were trained for, where it is one
  // Both kinds of prediction exist under the same names. v_sample_size: of the one that predicts v,
  // whose attention overflows in fp16.
  bool both_predictions = false;
  int64_t v_sample_size = 0;

  // Of a transformer's LoRAs.
  bool kohya_original = false;  // kohya's names are those of the original code's modules
  // A module that no other family has, and the full-size network's width; "" and 0: none.
  const char* own_modules = "";
  int64_t own_width = 0;

  // What is said of it.
  const char* text_layer = "";     // which layer of the text encoder is read
  const char* kohya_version = "";  // ss_base_model_version of a LoRA
  const char* architecture = "";   // modelspec.architecture of a LoRA
};

// In the order in which `prefixes` are looked for.
const std::vector<ModelFamily>& model_families();

// The first supported family of such a UNet, or an unsupported one whose context_width it has.
const ModelFamily& family_of_network(int64_t context_width,
                                     bool reads_pooled_text,
                                     bool linear_projection);
// nullptr when no family's text is so wide.
const ModelFamily* family_of_width(int64_t context_width);
// The family of a transformer: the one whose own_modules some module's path begins with or that is
// as wide, else the first without such.
const ModelFamily& family_of_transformer(
    const std::function<bool(const std::string& start)>& has_module, int64_t width);
const ModelFamily* family_of_name(const std::string& name);  // nullptr: none

// A class of diffusers' pipelines and the first family that has it.
struct ClassFamily {
  const PipelineClass& pipeline;
  const ModelFamily& family;
};
// Throws BadInput naming `source` and the classes that laurel knows.
ClassFamily class_family(const std::string& class_name, const std::string& source);

}  // namespace diffusion
