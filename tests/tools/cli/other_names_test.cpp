#include "tools/cli/other_names.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"
#include "tools/cli/options.hpp"
#include "tools/commands.hpp"
#include "tools/reference/command_pages.hpp"

namespace {

// A training of epochs, or of steps, as its options are declared.
struct Training {
  int64_t epochs = 1, steps = 1, every = 5, batch = 4;
  double rate = 0.1;
};
Training parsed(bool counts_epochs, const std::vector<std::string>& arguments) {
  Training training;
  tools::Options options("try", "Tries.");
  if (counts_epochs)
    options.integer("num_epochs", training.epochs, "");
  else
    options.integer("max_train_steps", training.steps, "");
  options.integer("eval_every", training.every, "");
  options.integer("train_batch_size", training.batch, "");
  options.number("learning_rate", training.rate, "", 0, 1);
  options.parse(arguments);
  return training;
}

TEST(OtherNames, MeanLaurelsOption) {
  EXPECT_EQ(parsed(true, {"--unet-lr", "0.5"}).rate, 0.5);
  EXPECT_EQ(parsed(true, {"--train_learning_rate=0.25"}).rate, 0.25);
  EXPECT_EQ(parsed(true, {"--max_train_epochs", "7"}).epochs, 7);
  EXPECT_EQ(parsed(true, {"--sample_every_n_epochs", "3"}).every, 3);
  EXPECT_EQ(parsed(false, {"--validation_steps", "9"}).every, 9);
  EXPECT_EQ(parsed(false, {"--batch_size", "2"}).batch, 2);
}

TEST(OtherNames, AStepIsNoEpoch) {
  EXPECT_NE(refusal([] { parsed(true, {"--validation_steps", "500"}); }), "");
  EXPECT_NE(refusal([] { parsed(true, {"--batch_size", "8"}); }), "");
  EXPECT_NE(refusal([] { parsed(false, {"--sample_every_n_epochs", "1"}); }), "");
}

TEST(OtherNames, WhatLaurelLacksIsAnsweredWithWhatToDo) {
  EXPECT_NE(refusal([] {
              parsed(true, {"--max_train_steps", "500"});
            }).find("--max_train_steps: unknown; this method counts epochs"),
            std::string::npos);
  EXPECT_EQ(parsed(false, {"--max_train_steps", "500"}).steps, 500);
  EXPECT_NE(refusal([] {
              parsed(false, {"--gradient_accumulation_steps", "4"});
            }).find("omit it"),
            std::string::npos);
}

// A row whose key no command has would be dead.
TEST(OtherNames, EachRowIsOfACommand) {
  const auto pages = tools::command_pages(tools::all_commands());
  const std::string page = data::read_file(std::string(tests::source_dir()) + "/docs/names.md");
  for (const auto& row : tools::other_names()) {
    const bool used = std::any_of(pages.begin(), pages.end(), [&](const auto& command) {
      if (command.schema.is_null()) return false;
      const auto& keys = command.schema.at("properties");
      return keys.contains(row.name) && keys.at(row.name).contains("$ref") &&
             keys.at(row.name).at("$ref") == std::string("#/properties/") + row.key;
    });
    EXPECT_TRUE(used) << row.name;
    EXPECT_NE(page.find(std::string("| `") + row.name + "` | `" + row.key + "`"), std::string::npos)
        << row.name << " is not in docs/names.md";
  }
}

}  // namespace
