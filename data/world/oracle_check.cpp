#include "data/world/oracle_check.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include "data/base/shape.hpp"
#include "data/world/caption.hpp"
#include "data/world/grammar.hpp"
#include "data/world/match.hpp"
#include "data/world/oracle.hpp"
#include "data/world/random_stream.hpp"

namespace world {
namespace {

// A random different value of the field, of `count`.
template <typename Value>
void change(Value& value, int64_t count, RandomStream& random) {
  value = static_cast<Value>((static_cast<int64_t>(value) + 1 + random.below(count - 1)) % count);
}

// Changes one word; has no effect when the sentence lacks the property that was drawn.
void change_one_word(Sentence& sentence, RandomStream& random) {
  Phrase& phrase = sentence.phrases[static_cast<size_t>(
      random.below(static_cast<int64_t>(sentence.phrases.size())))];
  switch (random.below(7)) {
    case 0:
      return change(phrase.colour, kColours, random);
    case 1:
      return change(phrase.kind, kKinds, random);
    case 2:
      return phrase.size ? change(*phrase.size, kSizes, random) : void();
    case 3:
      return phrase.place ? change(*phrase.place, kPlaces, random) : void();
    case 4:
      return sentence.relation ? change(*sentence.relation, kRelations, random) : void();
    case 5:
      return sentence.background ? change(*sentence.background, kTones, random) : void();
    default:
      break;
  }
  if (sentence.phrases.size() == 1 && !phrase.place) phrase.count = phrase.count % kMaxObjects + 1;
}

// For each true object, the nearest recognised one.
const DetectedObject* nearest(const DetectedObject& wanted, const SceneReading& reading) {
  const auto distance = [&](const DetectedObject& sight) {
    return std::hypot(sight.x - wanted.x, sight.y - wanted.y);
  };
  const auto best =
      std::min_element(reading.objects.begin(), reading.objects.end(),
                       [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
  return best == reading.objects.end() ? nullptr : &*best;
}

struct Objects {
  double all = 0, kind = 0, colour = 0, size = 0;
};

void compare(const SceneReading& wanted, const SceneReading& reading, Objects& objects) {
  for (const DetectedObject& sight : wanted.objects) {
    objects.all += 1;
    const DetectedObject* found = nearest(sight, reading);
    if (!found) continue;
    objects.kind += found->kind == sight.kind;
    objects.colour += found->colour == sight.colour;
    objects.size += found->size == sight.size;
  }
}

}  // namespace

std::string false_caption(const Scene& scene, at::Generator& generator) {
  const SceneReading reading = truth(scene);
  const std::string text = caption(scene, generator);
  RandomStream random(generator);
  while (true) {
    Sentence sentence = parse(text);
    change_one_word(sentence, random);
    const std::string changed = write(sentence, [&](int64_t count) { return random.below(count); });
    if (!match(parse_caption(changed), reading).exact) return changed;
  }
}

at::Tensor disturb(const at::Tensor& image,
                   const Disturbance& disturbance,
                   at::Generator& generator) {
  data::check_shape(image, {3, -1, -1}, "disturb: image");
  at::Tensor disturbed = image.to(at::kFloat).contiguous().clone();
  for (int64_t channel = 0; channel < 3 && disturbance.blur > 0; ++channel) {
    cv::Mat plane(static_cast<int>(image.size(1)), static_cast<int>(image.size(2)), CV_32F,
                  disturbed[channel].mutable_data_ptr<float>());
    cv::GaussianBlur(plane, plane, {0, 0}, disturbance.blur);
  }
  if (disturbance.noise > 0)
    disturbed += disturbance.noise * at::randn(disturbed.sizes(), generator);
  return disturbed.clamp(0, 1);
}

OracleAccuracy check_oracle(int64_t scenes,
                            const Disturbance& disturbance,
                            at::Generator& generator) {
  OracleAccuracy accuracy;
  Objects objects;
  std::clock_t spent = 0;
  for (int64_t index = 0; index < scenes; ++index) {
    const Scene scene = random_scene(generator, index % 2 ? Split::kUnseen : Split::kSeen);
    const at::Tensor image = disturb(render(scene), disturbance, generator);
    const std::clock_t start = std::clock();
    const SceneReading reading = read_scene(image);
    spent += std::clock() - start;
    const SceneReading wanted = truth(scene);
    compare(wanted, reading, objects);
    accuracy.count += reading.objects.size() == wanted.objects.size();
    accuracy.background += reading.background == wanted.background;
    accuracy.true_captions += match(parse_caption(caption(scene, generator)), reading).exact;
    accuracy.false_captions +=
        !match(parse_caption(false_caption(scene, generator)), reading).exact;
  }
  const auto all = static_cast<double>(scenes);
  return {.count = accuracy.count / all,
          .kind = objects.kind / objects.all,
          .colour = objects.colour / objects.all,
          .size = objects.size / objects.all,
          .background = accuracy.background / all,
          .true_captions = accuracy.true_captions / all,
          .false_captions = accuracy.false_captions / all,
          .milliseconds = 1e3 * static_cast<double>(spent) / CLOCKS_PER_SEC / all};
}

}  // namespace world
