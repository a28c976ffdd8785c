#include "data/world/edit_reading.hpp"

#include <ATen/ATen.h>

#include "data/base/error.hpp"
#include "data/images/image_io.hpp"
#include "data/world/edit_text.hpp"
#include "data/world/oracle.hpp"

namespace world {
namespace {

at::Tensor on_canvas(const at::Tensor& image) {
  return image.size(1) == kCanvas && image.size(2) == kCanvas
             ? image
             : data::resize(image, kCanvas, kCanvas, data::ResizeKind::kArea);
}

Scene scene_of(const SceneReading& reading) {
  if (!reading.background)
    throw data::BadInput("the source: expected a picture of the world, found another background");
  Scene scene;
  scene.background.tone = *reading.background;
  scene.background.rgb = middle(kToneRanges[static_cast<size_t>(*reading.background)]);
  for (const DetectedObject& seen : reading.objects) {
    if (!seen.kind || !seen.colour)
      throw data::BadInput("the source: expected shapes of the world, found something else");
    scene.objects.push_back({.kind = *seen.kind,
                             .colour = *seen.colour,
                             .size = seen.size,
                             .scale = seen.scale,
                             .x = seen.x,
                             .y = seen.y,
                             .rgb = seen.rgb});
  }
  return scene;
}

}  // namespace

EditScores read_edit_scores(const at::Tensor& source,
                            const at::Tensor& edited,
                            const std::string& instruction) {
  const at::Tensor before = on_canvas(source);
  SceneEdit edit{.source = scene_of(read_scene(before)), .edit = {}, .target = {}};
  edit.edit = parse_instruction(instruction, edit.source);
  edit.target = apply(edit.source, edit.edit);
  EditView view = view_of(edit);
  const at::Tensor same = view.source.eq(view.target).all(0, /*keepdim=*/true);  // [1, N, N]
  view.source = before;
  view.target = at::where(same, before, view.target);
  return score_edit(view, on_canvas(edited));
}

}  // namespace world
