#pragma once

// What a judge's answer in words says. Judges that are not held to one symbol explain themselves
// before or after the answer, think aloud, repeat the scale, or answer in JSON or LaTeX. What does
// not say one thing clearly is unusable, never guessed.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace rewards {

// The text of a chat reply's first choice: message.content, the parts of a list joined; thoughts in
// fields of their own (reasoning_content) are no part of it. Nothing where there is no text.
std::optional<std::string> chat_text(const nlohmann::json& reply);

// The score in [lowest, highest] that the answer gives. From the strongest kind of statement in it,
// of that kind the last one:
//   1. a JSON object's "score", \boxed{4}, "final score: 4";
//   2. "Score: 4", "Rating (1-5): 4/5", a last line that is a number alone;
//   3. "4/5", "a score of 4", a first line that is or begins with the number: all must agree.
// Nothing: it says none, contradicts itself, uses another scale (4/10), or leaves the range.
std::optional<double> score_in_words(const std::string& answer, double lowest, double highest);

// The probability that the first of two images, A, is better: 1, 0, or 0.5 for a tie. Kinds as
// above: "winner" in JSON, \boxed{B}, [[B]]; "Answer: B"; "A is worse than B", "I prefer the
// second".
std::optional<double> preference_in_words(const std::string& answer);

// The JSON objects in the answer, in order; not those inside others. `rest`: what follows the last
// one (the whole answer without any).
std::vector<nlohmann::json> objects_in(const std::string& answer, std::string* rest = nullptr);

}  // namespace rewards
