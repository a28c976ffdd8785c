#include "data/text/prompt_file.hpp"

#include <gtest/gtest.h>

#include "data/base/error.hpp"
#include "data/base/files.hpp"

namespace fs = std::filesystem;

namespace {

fs::path write(const std::string& name, const std::string& text) {
  const fs::path path = fs::path(testing::TempDir()) / ("laurel_prompts_" + name);
  data::write_file(path, text);
  return path;
}

std::string message_of(const std::string& name, const std::string& text) {
  try {
    data::read_prompts(write(name, text));
  } catch (const data::BadInput& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << text;
  return "";
}

TEST(Prompts, PlainLines) {
  const auto lines = data::read_prompts(
      write("plain.txt", "\xEF\xBB\xBF# a comment\na cat\r\n\n  two dogs, running \n"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].prompt, "a cat");
  EXPECT_EQ(lines[1].prompt, "two dogs, running");
  EXPECT_FALSE(lines[1].seed.has_value());
  EXPECT_TRUE(lines[1].where.ends_with("plain.txt:4"));
}

TEST(Prompts, KohyasOptions) {
  const auto line = data::parse_prompt_line(
      "a well-made cat -- so to say --n blurry, low-res --w 512 --h 768 --d 7 --l 7.5 --s 30",
      "x:1");
  EXPECT_EQ(line.prompt, "a well-made cat -- so to say");
  EXPECT_EQ(line.negative_prompt, "blurry, low-res");
  EXPECT_EQ(line.width, 512);
  EXPECT_EQ(line.height, 768);
  EXPECT_EQ(line.seed, 7u);
  EXPECT_EQ(line.cfg_scale, 7.5);
  EXPECT_EQ(line.steps, 30);
}

TEST(Prompts, JsonLines) {
  const auto lines = data::read_prompts(write(
      "a.jsonl",
      "{\"prompt\": \"caf\\u00e9\", \"negative_prompt\": \"\", \"seed\": 3, \"cfg_scale\": 2}\n"
      "# comment\n{\"text\": \"a dog\", \"file_name\": \"1.png\", \"seed\": null}\n"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].prompt, "caf\xC3\xA9");
  EXPECT_EQ(lines[0].negative_prompt, "");
  EXPECT_EQ(lines[0].seed, 3u);
  EXPECT_EQ(lines[0].cfg_scale, 2.0);
  EXPECT_EQ(lines[1].prompt, "a dog");
  EXPECT_FALSE(lines[1].seed.has_value());
}

struct BadCase {
  const char* name;
  const char* text;
  const char* expected;
};

TEST(Prompts, MistakesAreNamedWithFileAndLine) {
  for (const BadCase& bad :
       {BadCase{"utf8.txt", "a cat\ncaf\xE9\n", "utf8.txt:2: expected UTF-8"},
        BadCase{"empty.txt", "\n# nothing\n", "expected a prompt a line"},
        BadCase{"bare.txt", "--n blurry\n", "bare.txt:1: expected a prompt"},
        BadCase{"option.txt", "a cat --ar 3:2\n", "unknown option --ar"},
        BadCase{"seed.txt", "a cat --d x\n", "--d: expected a whole number"},
        BadCase{"wide.txt", "a cat --w 99999\n", "--w: expected a whole number in [1, 8192]"},
        BadCase{"cfg.txt", "a cat --l -1\n", "--l: expected a number"},
        BadCase{"none.txt", "a cat --s\n", "--s: expected a whole number"},
        BadCase{"blank.jsonl", "{\"prompt\": \" \"}\n", "blank.jsonl:1: expected a prompt"},
        BadCase{"key.jsonl", "{\"seed\": 1}\n", "expected a key \"prompt\""},
        BadCase{"typo.jsonl", "{\"prompt\": \"a\", \"sede\": 1}\n", "did you mean \"seed\""},
        BadCase{"type.jsonl", "{\"prompt\": \"a\", \"seed\": \"1\"}\n", "wrong type"},
        BadCase{"number.jsonl", "{\"prompt\": 4}\n", "expected a text, found 4"},
        BadCase{"broken.jsonl", "{\"prompt\": \"a\"\n", "expected a JSON object"},
        BadCase{"kohya.toml", "[[prompt.subset]]\n", "found .toml; write each prompt on a line"},
        BadCase{"kohya.json", "[]\n", "found .json"},
        BadCase{"float.jsonl", "{\"prompt\": \"a\", \"steps\": 2.5}\n", "whole number"}}) {
    const std::string message = message_of(bad.name, bad.text);
    EXPECT_NE(message.find(bad.expected), std::string::npos) << message;
  }
}

TEST(Prompts, MissingFileIsNamed) {
  EXPECT_THROW(data::read_prompts("/nonexistent/prompts.txt"), data::BadInput);
}

TEST(Prompts, PromptOfTheCommandLine) {
  EXPECT_EQ(data::checked_prompt(" a cat \n", "--prompt"), "a cat");
  EXPECT_EQ(data::checked_prompt("", "--prompt"), "");
  EXPECT_THROW(data::checked_prompt("caf\xE9", "--prompt"), data::BadInput);
}

}  // namespace
