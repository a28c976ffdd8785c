// `laurel world voter`: a simulated person chooses between pictures.

#include "tools/world/voter.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/base/log.hpp"
#include "data/base/splitmix.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/options.hpp"
#include "tools/world/answers.hpp"
#include "tools/world/studio_voter.hpp"

namespace fs = std::filesystem;
using data::BadInput;
using nlohmann::ordered_json;

namespace tools {
namespace {

struct VoterConfig {
  std::string out, base, tuned, studio;
  int64_t person = 0, seed = 0;
  PairCounts counts{.asked = 80, .held_out = 0, .held_out_share = 0.25};
  double asked_twice = 0.1, consistency = 0.8, temperature = 0, tie_odds = 0.2, skip = 0;
  bool truth = false;
};

void declare(Options& options, VoterConfig& s) {
  options.text("out", s.out, "new folder for what comes out");
  options.integer("person", s.person, "who; each number has another taste", 0);
  options.integer("seed", s.seed, "of pairs, sides and answers", 0);
  options.group("how the person answers");
  options.number("consistency", s.consistency, "how often the same answer is given again", 0.5, 1);
  options.number("temperature", s.temperature,
                 "noise in units of the taste; 0: what gives that consistency on these pictures", 0,
                 1000);
  options.number("tie_odds", s.tie_odds, "Davidson's nu: equal pictures tie in nu / (2 + nu)", 0,
                 1000);
  options.number("skip", s.skip, "probability that a pair is not answered", 0, 0.95);
  options.group("choices");
  options.integer("pairs", s.counts.asked, "pairs of one prompt", 1, 100000);
  options.number("asked_twice", s.asked_twice, "share of them asked again, sides exchanged", 0, 1);
  options.integer("held_out_pairs", s.counts.held_out, "pairs that only measure, of other prompts",
                  0, 100000);
  options.number("held_out", s.counts.held_out_share, "share of the prompts kept for them", 0, 0.9);
  options.group("instead of choices");
  options.flag("truth", s.truth, "the taste of each picture, without noise");
  options.text("base", s.base, "proof: folder of the base's pictures");
  options.text("tuned", s.tuned, "and of the trained model's, under the same names");
  options.text("studio", s.studio, "address that laurel studio or vote printed: vote there");
}

world::RandomStream stream_of(int64_t seed, int64_t salt) {
  auto generator = at::detail::createCPUGenerator(data::splitmix64(
      static_cast<uint64_t>(seed) + data::kSplitmixStep * (1 + static_cast<uint64_t>(salt))));
  return world::RandomStream(generator);
}

// Answers are drawn apart from pairs, so that two people are asked the same.
world::RandomStream answers_of(const VoterConfig& s) { return stream_of(s.seed, 1 + s.person); }

AnswerOptions answer_options(const VoterConfig& s, const ShownPictures& shown) {
  AnswerOptions options{.noise = {.temperature = s.temperature, .tie_odds = s.tie_odds},
                        .skip = s.skip,
                        .bad_below = lower_quartile(shown.pictures)};
  if (s.temperature == 0)
    options.noise.temperature = temperature_for(
        taste_differences(shown.pictures, comparable(shown.pictures)), s.consistency, s.tie_odds);
  return options;
}

ordered_json person_json(const SimulatedPerson& person) {
  ordered_json weights;
  for (size_t k = 0; k < kTasteFacts.size(); ++k) weights[kTasteFacts[k]] = person.weights[k];
  return {{"person", person.number},
          {"synthetic", true},
          {"weights", weights},
          {"light", person.light}};
}

// The consistency and rightness that the noise gives on these pictures; one line of text.
std::string noise_line(const VoterConfig& s,
                       const ShownPictures& shown,
                       const AnswerOptions& options,
                       ordered_json& report) {
  const auto differences = taste_differences(shown.pictures, comparable(shown.pictures));
  const double again = expected_consistency(differences, options.noise),
               right = expected_rightness(differences, options.noise);
  report["temperature"] = options.noise.temperature;
  report["tie_odds"] = s.tie_odds;
  report["consistency"] = again;
  report["right"] = right;
  return data::formatted(
      "person %lld (simulated): temperature %.4g; answers the same again in %.1f %% of these "
      "pairs, and as the taste without noise in %.1f %%\n",
      static_cast<long long>(s.person), options.noise.temperature, 100 * again, 100 * right);
}

fs::path new_file(const VoterConfig& s, const char* name) {
  if (s.out.empty()) throw BadInput("laurel world voter: expected --out FOLDER, found none");
  const fs::path file = fs::path(s.out) / name;
  if (fs::exists(file))
    throw BadInput("--out " + s.out + ": expected a new folder, found " + name + "; name another");
  return file;
}

struct Written {
  std::string lines;
  int64_t answers = 0, even = 0, skipped = 0;
};
Written answer_all(const VoterConfig& s,
                   const ShownPictures& shown,
                   const std::vector<PicturePair>& questions,
                   const AnswerOptions& options,
                   world::RandomStream& chance) {
  Written written;
  const auto near = [&](const fs::path& file) {
    return fs::absolute(file).lexically_proximate(fs::absolute(s.out)).string();
  };
  for (const auto& [first, second] : questions) {
    const ShownPicture &a = shown.pictures[static_cast<size_t>(first)],
                       &b = shown.pictures[static_cast<size_t>(second)];
    const auto answer = answer_about(a.taste, b.taste, options, chance);
    written.skipped += !answer;
    if (!answer) continue;
    written.answers += 1;
    written.even += *answer != "a" && *answer != "b";
    written.lines +=
        data::to_text(ordered_json{{"prompt", a.prompt == b.prompt ? a.prompt : ""},
                                   {"a", near(a.file)},
                                   {"b", near(b.file)},
                                   {"winner", *answer},
                                   {"person", "simulated-" + std::to_string(s.person)}}) +
        "\n";
  }
  return written;
}

void write_choices(const VoterConfig& s,
                   const SimulatedPerson& person,
                   const ShownPictures& shown) {
  const fs::path choices = new_file(s, "choices.jsonl");
  const auto groups = comparable(shown.pictures);
  if (pairs_inside(groups).empty()) throw BadInput("expected two pictures to compare, found one");
  const AnswerOptions options = answer_options(s, shown);
  auto drawing = stream_of(s.seed, 0);
  const DrawnPairs drawn = draw_pairs(groups, s.counts, drawing);
  const auto questions = with_repeats(drawn.asked, s.asked_twice, drawing);
  auto chance = answers_of(s);
  const Written measured = answer_all(s, shown, drawn.held_out, options, chance);
  const Written written = answer_all(s, shown, questions, options, chance);
  ordered_json report = person_json(person);
  std::cout << noise_line(s, shown, options, report);
  report["pictures"] = shown.pictures.size();
  report["groups"] = groups.size();
  report["answers"] = written.answers;
  report["even"] = written.even;
  report["skipped"] = written.skipped;
  report["held_out_answers"] = measured.answers;
  if (measured.answers > 0) data::write_file(fs::path(s.out) / "held-out.jsonl", measured.lines);
  data::write_file(choices, written.lines);
  data::write_file(fs::path(s.out) / "voter.json", data::to_text(report, 1) + "\n");
  std::cout << written.answers << " answers (" << written.even << " even, " << written.skipped
            << " skipped) and " << measured.answers << " held out, about " << shown.pictures.size()
            << " pictures in " << groups.size() << (groups.size() == 1 ? " group" : " groups")
            << ", in " << s.out << "\n";
}

void tell_truth(const VoterConfig& s, const SimulatedPerson& person, const ShownPictures& shown) {
  const fs::path file = new_file(s, "truth.jsonl");
  std::string lines;
  double sum = 0;
  for (const auto& picture : shown.pictures) {
    ordered_json facts;
    for (size_t k = 0; k < kTasteFacts.size(); ++k)
      facts[kTasteFacts[k]] = shown.facts[picture.facts][static_cast<int64_t>(k)].item<double>();
    lines += data::to_text(ordered_json{{"file", picture.file.string()},
                                        {"prompt", picture.prompt},
                                        {"taste", picture.taste},
                                        {"facts", facts}}) +
             "\n";
    sum += picture.taste;
  }
  data::write_file(file, lines);
  data::write_file(fs::path(s.out) / "voter.json", data::to_text(person_json(person), 1) + "\n");
  std::cout << "person " << s.person << " (simulated): mean taste "
            << data::formatted("%.4f", sum / static_cast<double>(shown.pictures.size())) << " of "
            << shown.pictures.size() << " pictures, in " << s.out << "\n";
}

std::string share_line(const char* name, const rewards::Interval& share, int64_t count) {
  return data::formatted("  %-14s %5.1f %% [%.1f, %.1f]  %lld pairs\n", name, 100 * share.value,
                         100 * share.low, 100 * share.high, static_cast<long long>(count));
}

ordered_json interval_json(const rewards::Interval& share) {
  return {{"share", share.value}, {"low", share.low}, {"high", share.high}};
}

size_t prove(const VoterConfig& s, const SimulatedPerson& person) {
  const fs::path file = new_file(s, "answers.jsonl");
  const ShownPictures base = look_at_pictures({s.base}, person),
                      tuned = look_at_pictures({s.tuned}, person);
  const AnswerOptions options = answer_options(s, base);
  auto chance = answers_of(s);
  const BlindProof proof = prove_blind(base.pictures, tuned.pictures, options, chance);
  ordered_json report = person_json(person);
  std::cout << noise_line(s, base, options, report);
  const int64_t answers = proof.tuned + proof.base + proof.even;
  report["tuned"] = proof.tuned;
  report["base"] = proof.base;
  report["even"] = proof.even;
  report["by_the_person"] = interval_json(proof.share);
  report["without_noise"] = interval_json(proof.without_noise);
  report["base_taste"] = proof.base_taste;
  report["tuned_taste"] = proof.tuned_taste;
  std::string lines;
  for (const auto& line : proof.lines) lines += data::to_text(line) + "\n";
  data::write_file(fs::path(s.out) / "voter.json", data::to_text(report, 1) + "\n");
  data::write_file(file, lines);
  std::cout << "the trained model is preferred to the base, blind:\n"
            << share_line("by the person", proof.share, answers)
            << share_line("without noise", proof.without_noise, answers)
            << data::formatted("  mean taste %.4f, base %.4f\n", proof.tuned_taste,
                               proof.base_taste);
  return base.faults.size() + tuned.faults.size();
}

void check_mode(const VoterConfig& s, const std::vector<std::string>& places) {
  const bool proof = !s.base.empty() || !s.tuned.empty();
  if (s.base.empty() != s.tuned.empty())
    throw BadInput("laurel world voter: expected --base and --tuned, found one of them");
  if (proof + s.truth + !s.studio.empty() > 1)
    throw BadInput(
        "laurel world voter: --truth, --base with --tuned, and --studio are three ways; "
        "choose one");
  if (proof && !places.empty())
    throw BadInput("laurel world voter: --base and --tuned name the pictures; leave out '" +
                   places[0] + "'");
  if (!s.studio.empty() && places.empty() && s.temperature == 0)
    throw BadInput(
        "laurel world voter --studio: expected --temperature, or the pictures to "
        "choose it by, found neither");
  if (!proof && s.studio.empty() && places.empty())
    throw BadInput("laurel world voter: expected a folder of pictures or a run, found none");
}

// At the studio's address; the number of pictures that could not be read.
size_t vote_there(const VoterConfig& s,
                  const SimulatedPerson& person,
                  const std::vector<std::string>& places) {
  AnswerOptions options{.noise = {.temperature = s.temperature, .tie_odds = s.tie_odds},
                        .skip = s.skip,
                        .bad_below = -HUGE_VAL};
  size_t faults = 0;
  if (!places.empty()) {
    const ShownPictures shown = look_at_pictures(places, person);
    options = answer_options(s, shown);
    ordered_json report;
    std::cout << noise_line(s, shown, options, report);
    faults = shown.faults.size();
  }
  auto chance = answers_of(s);
  const int64_t answers =
      vote_at_studio({.address = s.studio, .votes = s.counts.asked}, person, options, chance);
  std::cout << answers << " answers at " << s.studio.substr(0, s.studio.find('#')) << "\n";
  return faults;
}

int voter_command(const std::vector<std::string>& arguments) {
  VoterConfig s;
  Options options("world voter",
                  "A simulated person chooses between pictures by a hidden taste (synthetic).",
                  "[FOLDER|RUN ...]");
  declare(options, s);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  check_mode(s, parsed.positional);
  const SimulatedPerson person = draw_person(s.person);
  size_t faults = 0;
  if (!s.base.empty()) {
    faults = prove(s, person);
  } else if (!s.studio.empty()) {
    faults = vote_there(s, person, parsed.positional);
  } else {
    const ShownPictures shown = look_at_pictures(parsed.positional, person);
    s.truth ? tell_truth(s, person, shown) : write_choices(s, person, shown);
    faults = shown.faults.size();
  }
  if (faults == 0) return 0;
  data::log_error(std::to_string(faults) + " pictures left out, see above");
  return kBadInput;
}

}  // namespace

const Command kWorldVoter{"voter", "a simulated person who chooses between pictures",
                          voter_command};

}  // namespace tools
