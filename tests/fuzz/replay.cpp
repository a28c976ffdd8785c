// The targets without libFuzzer, in the build of every day: each reads its seeds and mutations of
// them, the same at every run.
//   fuzz_replay [--mutations N] [NAME...]    N of each target (default 5000); of all targets
//   fuzz_replay NAME --input FILE            one input
// A target has 10 s for an input. What it fails on is written to fuzz-NAME.input.

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "data/base/files.hpp"
#include "tests/fuzz/target.hpp"

namespace {

constexpr unsigned kSeconds = 10;       // for an input
constexpr long kMostMemory = 1L << 20;  // KiB
std::string name, input, failed_input;  // of what runs; failed_input: where it is kept

// Only calls that are allowed in a signal handler.
void keep_input(int signal) {
  const int file = ::open(failed_input.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const bool kept = ::write(file, input.data(), input.size()) == static_cast<ssize_t>(input.size());
  const char* const what = signal == SIGALRM ? ": no answer within 10 s" : ": ended by a signal";
  for (const char* text : {name.c_str(), what, kept ? "; its input is in " : "; input of ",
                           failed_input.c_str(), "\n"})
    if (::write(STDERR_FILENO, text, std::char_traits<char>::length(text)) < 0) break;
  ::signal(signal, SIG_DFL);
  ::raise(signal == SIGALRM ? SIGKILL : signal);
}

using Random = std::mt19937_64;

size_t below(Random& random, size_t count) { return count == 0 ? 0 : random() % count; }

const std::string& one_of(Random& random, const std::vector<std::string>& list) {
  return list[below(random, list.size())];
}

void mutate(std::string& text,
            const std::vector<std::string>& seeds,
            const fuzz::Target& target,
            Random& random) {
  static const std::vector<std::string> kNumbers = {
      "0", "-1", "1e999", "9223372036854775807", "18446744073709551615", "4294967296", "0.5"};
  static const std::vector<std::string> kBytes = {
      std::string(1, '\0'), "\xFF\xFF\xFF\xFF", "\x80", "\n", "\"", "{", "["};
  const size_t at = below(random, text.size() + 1);
  const size_t length = below(random, text.size() - at + 1) >> below(random, 8);
  const std::string& other = one_of(random, seeds);
  switch (below(random, 9)) {
    case 0:
      if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(random, 8)));
      break;
    case 1:
      if (at < text.size()) text[at] = static_cast<char>(random());
      break;
    case 2:
      text.erase(at, length);
      break;
    case 3:
      text.insert(at, text.substr(at, length));
      break;
    case 4:
      text.replace(at, length, other.substr(below(random, other.size() + 1), length));
      break;
    case 5:
      text.insert(at, one_of(random, kNumbers));
      break;
    case 6:
      text.replace(at, std::min<size_t>(length, 4), one_of(random, kBytes));
      break;
    case 7:
      text.resize(at);
      break;
    default:
      if (!target.words.empty()) text.insert(at, one_of(random, target.words));
  }
  if (text.size() > target.longest) text.resize(target.longest);
}

std::string run_one(const fuzz::Target& target, std::string text) {
  input = std::move(text);
  ::alarm(kSeconds);
  std::string refusal = fuzz::check(target, input);
  ::alarm(0);
  return refusal;
}

void replay(const fuzz::Target& target, int64_t mutations) {
  name = target.name;
  failed_input = "fuzz-" + name + ".input";
  const auto started = std::chrono::steady_clock::now();
  const auto seeds = fuzz::seeds_of(target);
  size_t read = 0;
  for (const auto& seed : seeds) read += run_one(target, seed).empty();
  if (read == 0) {
    std::fprintf(stderr, "%s: refuses all of its seeds\n", target.name);
    std::exit(1);
  }
  Random random(std::hash<std::string>()(name));
  for (int64_t i = 0; i < mutations; ++i) {
    std::string text = one_of(random, seeds);
    for (size_t more = 1 + below(random, 4); more > 0; --more) mutate(text, seeds, target, random);
    run_one(target, text);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  std::printf("%-18s %3zu of %3zu seeds read, %8" PRId64 " mutations %7.2f s\n", target.name, read,
              seeds.size(), mutations, took.count());
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  int64_t mutations = 5000;
  std::vector<const fuzz::Target*> chosen;
  for (int signal : {SIGALRM, SIGABRT, SIGSEGV, SIGFPE, SIGBUS}) std::signal(signal, keep_input);
  for (int i = 1; i < count; ++i) {
    const std::string word = arguments[i];
    if (word == "--mutations" && i + 1 < count) {
      mutations = std::atoll(arguments[++i]);
    } else if (word == "--input" && i + 1 < count && !chosen.empty()) {
      const std::string refusal = run_one(*chosen.back(), data::read_file(arguments[++i]));
      std::printf("%s\n", refusal.empty() ? "read" : refusal.c_str());
      return 0;
    } else if (const fuzz::Target* target = fuzz::target_of(word)) {
      chosen.push_back(target);
    } else {
      std::fprintf(stderr, "%s: no such target\n", arguments[i]);
      return 2;
    }
  }
  if (chosen.empty())
    for (const auto& target : fuzz::targets()) chosen.push_back(&target);
  for (const auto* target : chosen) replay(*target, mutations);
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  std::printf("peak memory %ld MiB\n", used.ru_maxrss >> 10);
  return used.ru_maxrss > kMostMemory ? 1 : 0;
}
