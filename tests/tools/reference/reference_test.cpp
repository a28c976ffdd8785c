// What completions, manual pages and schemas are made of, and the three commands.

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tools/cli/options.hpp"
#include "tools/commands.hpp"
#include "tools/reference/command_pages.hpp"
#include "tools/reference/completion_command.hpp"
#include "tools/reference/conventions.hpp"
#include "tools/reference/man_command.hpp"
#include "tools/reference/schema_command.hpp"

namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

const std::vector<tools::CommandPage>& pages() {
  static const auto all = tools::command_pages(tools::all_commands());
  return all;
}

std::string printed(const tools::Command& command, const Words& arguments) {
  testing::internal::CaptureStdout();
  const int code = command.run(arguments);
  const std::string text = testing::internal::GetCapturedStdout();
  EXPECT_EQ(code, 0);
  return text;
}

TEST(Options, DescribeThemselvesAsASchema) {
  int64_t count = 3;
  double eta = 0.5;
  std::string kind = "a";
  bool quick = false;
  Words axes;
  tools::Options options("try", "Tries.", "FILE");
  options.group("size");
  options.integer("count", count, "how many", 1, 9);
  options.short_name("count", 'n');
  options.alias("number", "count");
  options.rare().number("eta", eta, "noise", 0, 1);
  options.choice("kind", kind, {"a", "b"}, "which");
  options.flag("quick", quick, "soon");
  options.list("axes", axes, "many");
  const json schema = options.schema(), keys = schema.at("properties");
  EXPECT_EQ(schema.at("title"), "laurel try");
  EXPECT_EQ(schema.at("additionalProperties"), false);
  EXPECT_EQ(keys.at("count"), json::parse(R"({"type": "integer", "minimum": 1, "maximum": 9,
      "default": 3, "description": "how many", "x-group": "size", "x-letter": "n",
      "x-aliases": ["number"]})"));
  EXPECT_EQ(keys.at("number").at("$ref"), "#/properties/count");
  EXPECT_EQ(keys.at("eta").at("x-rare"), true);
  EXPECT_EQ(keys.at("kind").at("enum"), json::parse(R"(["a", "b"])"));
  EXPECT_EQ(keys.at("quick").at("type"), "boolean");
  EXPECT_EQ(keys.at("axes").at("items").at("type"), "string");
}

// Each row of each command describes itself, and its defaults satisfy its own schema.
TEST(CommandPages, HoldEveryCommandOnce) {
  Words names;
  for (const auto& page : pages()) {
    ASSERT_FALSE(page.summary.empty());
    names.push_back(page.words.back());
    if (page.schema.is_null()) {
      EXPECT_FALSE(page.subcommands.empty()) << page.words[0];
      continue;
    }
    for (const auto& [key, property] : page.schema.at("properties").items()) {
      if (tools::is_alias(property)) continue;
      EXPECT_FALSE(property.at("description").get<std::string>().empty()) << key;
      if (!property.contains("minimum") || property.at("default") == 0) continue;
      EXPECT_GE(property.at("default"), property.at("minimum")) << page.words[0] << " " << key;
    }
  }
  for (const char* name : {"sample", "finetune", "prdp", "judge-server", "unet", "pairs"}) {
    const bool found = std::find(names.begin(), names.end(), name) != names.end();
    EXPECT_EQ(found, std::string(name) != "prdp") << name;  // a word of `finetune`, no command
  }
  const auto& methods = tools::find_page(pages(), {"finetune"}).subcommands;
  for (const char* name : {"edit", "prdp", "ddpo"})
    EXPECT_NE(std::find(methods.begin(), methods.end(), name), methods.end()) << name;
}

TEST(CommandPages, AnUnknownCommandIsRefusedWithTheNearest) {
  EXPECT_NE(refusal([] { tools::kSchema.run({"sampel"}); }).find("did you mean sample?"),
            std::string::npos);
  EXPECT_NE(refusal([] { tools::kSchema.run({"pretrain"}); }).find("vae, clip, unet"),
            std::string::npos);
  EXPECT_NE(refusal([] { tools::kCompletion.run({"tcsh"}); }).find("bash, zsh, fish"),
            std::string::npos);
  EXPECT_NE(refusal([] {
              tools::kMan.run({"sample", "--out", "x"});
            }).find("found both"),
            std::string::npos);
}

TEST(SchemaCommand, PrintsTheSchemaOfACommand) {
  const json schema = json::parse(printed(tools::kSchema, {"world", "edits"}));
  EXPECT_EQ(schema.at("title"), "laurel world edits");
  EXPECT_EQ(schema, tools::find_page(pages(), {"world", "edits"}).schema);
}

TEST(ManCommand, WritesAPageForEachCommand) {
  const std::string page = printed(tools::kMan, {"sample"});
  EXPECT_TRUE(page.starts_with(".TH \"LAUREL\\-SAMPLE\" 1")) << page.substr(0, 60);
  EXPECT_NE(page.find("\\fB\\-p\\fR, \\fB\\-\\-prompt\\fR"), std::string::npos);
  EXPECT_NE(page.find(".SH EXIT STATUS"), std::string::npos);
  EXPECT_NE(page.find("\\fBLAUREL_MODELS\\fR"), std::string::npos);
  const auto folder = tests::fresh_folder();
  printed(tools::kMan, {"--out", folder.string()});
  EXPECT_TRUE(std::filesystem::exists(folder / "laurel.1"));
  EXPECT_TRUE(std::filesystem::exists(folder / "laurel-world-judge-server.1"));
}

TEST(Conventions, EachStandsInTheDocumentation) {
  const std::string page =
      data::read_file(std::filesystem::path(tests::source_dir()) / "docs" / "install.md");
  for (const auto* rows : {&tools::exit_codes(), &tools::environment_variables()}) {
    for (const auto& row : *rows) {
      const bool found = page.find("| " + row.name + " |") != std::string::npos ||
                         page.find("`" + row.name + "`") != std::string::npos;
      EXPECT_TRUE(found) << row.name << " is not in docs/install.md";
      EXPECT_LE(row.meaning.size(), 100u) << row.name;
    }
  }
  EXPECT_EQ(tools::convention_lines({{"0", "done"}, {"128+n", "signal"}}, 3),
            "  0  done\n  128+n signal\n");
}

// bash itself completes.
TEST(CompletionCommand, BashCompletesCommandsOptionsAndValues) {
  const auto folder = tests::fresh_folder();
  const std::string script = printed(tools::kCompletion, {"bash"});
  const auto completed = [&](const std::string& line, int word) {
    const std::string file = (folder / "completion.bash").string();
    FILE* out = std::fopen(file.c_str(), "w");
    std::fputs((script + "COMP_WORDS=(" + line + ")\nCOMP_CWORD=" + std::to_string(word) +
                "\n_laurel 2>/dev/null\necho ${COMPREPLY[@]}\n")
                   .c_str(),
               out);
    std::fclose(out);
    FILE* in = ::popen(("bash " + file).c_str(), "r");
    char text[4096] = {};
    const size_t count = std::fread(text, 1, sizeof text - 1, in);
    EXPECT_EQ(::pclose(in), 0);
    return std::string(text, count);
  };
  EXPECT_EQ(completed("laurel finet", 1), "finetune\n");
  EXPECT_EQ(completed("laurel finetune pr", 2), "prdp\n");
  EXPECT_EQ(completed("laurel world judge", 2), "judge-server\n");
  EXPECT_EQ(completed("laurel sample --prompt-", 2), "--prompt-weighting\n");
  EXPECT_EQ(completed("laurel world --split un", 3), "unseen\n");
  EXPECT_EQ(completed("laurel finetune edit --resume-f", 3), "--resume-from-checkpoint\n");
}

TEST(CompletionCommand, TheOtherShellsNameCommandsAndOptions) {
  for (const char* shell : {"zsh", "fish"}) {
    const std::string script = printed(tools::kCompletion, {shell});
    for (const char* word : {"finetune", "judge-server", "prompt", "unseen"})
      EXPECT_NE(script.find(word), std::string::npos) << shell << " " << word;
  }
}

}  // namespace
