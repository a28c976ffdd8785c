#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace data {

// How an image was made, as AUTOMATIC1111's web UI writes it into a PNG under "parameters" and as
// image browsers read it.
struct GenerationParameters {
  std::string prompt, negative_prompt;
  int64_t steps = 0;
  std::string sampler;  // "DPM++ 2M Karras"
  double cfg_scale = 0;
  uint64_t seed = 0;
  int64_t width = 0, height = 0;  // pixels
  std::string model_hash;         // the first 10 digits of the weights' SHA-256; "" leaves it out
  std::string model;
  // Further "key: value" of the last line, in order: "Eta", "aesthetic Score", "laurel".
  struct Extra {
    std::string key, value;
  };
  std::vector<Extra> extra;
};

// prompt
// Negative prompt: ...          (when there is one)
// Steps: 20, Sampler: DDIM, CFG scale: 7.5, Seed: 1, Size: 64x64, Model hash: ..., Model: ..., ...
// A value with a comma, a colon or a line break is quoted as a JSON text, as the web UI does.
std::string parameters_text(const GenerationParameters& parameters);

// Such a text in its parts: before + settings + after is the text.
struct ParametersText {
  std::string prompt, negative_prompt;  // without white space at their ends
  std::string settings;                 // the line "Steps: 20, Sampler: ..."; "": there is none
  std::string before, after;            // what stands around that line
};
// The line of settings is the last that begins with "Steps: " and a number; extensions of the web
// UI write lines of their own after it ("Template: ..."). Without one, it is the last line where
// that holds scores that laurel wrote.
ParametersText split_parameters(const std::string& text);

// 7.5 -> "7.5", 7 -> "7"; up to 6 significant digits.
std::string short_number(double value);

}  // namespace data
