#include "tools/sample/guides/generate.hpp"

namespace tools {

void generate_guided(const GuideSetting& setting,
                     const diffusion::Pipeline& pipeline,
                     const std::vector<diffusion::ImageRequest>& requests,
                     const diffusion::GenerateOptions& options,
                     const diffusion::OnBatch& on_batch) {
  diffusion::GenerateOptions led = options;
  if (!setting.guide.empty() || !setting.deltas.empty() || !setting.skipped.layers.empty()) {
    led.guide = [&](const std::vector<diffusion::ImageRequest>& batch) {
      diffusion::BatchGuide guide;
      lead_by_deltas(setting.deltas, pipeline, batch, options, guide);
      lead_by_skipped_layers(setting.skipped, pipeline, batch, options, guide);
      for (const GuidePart& part : setting.guide)
        if (part.kind->lead != nullptr)
          part.kind->lead({setting, pipeline, batch}, part.value, guide);
      return guide;
    };
  }
  const GuideKind* searching = search_of(setting.guide);
  if (searching != nullptr) return searching->search(setting, pipeline, requests, led, on_batch);
  diffusion::generate(pipeline, requests, led, on_batch);
}

}  // namespace tools
