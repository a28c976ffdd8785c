#include "data/train/events.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

namespace fs = std::filesystem;

std::string hex(std::string_view bytes) {
  std::string text;
  char two[3];
  for (const char byte : bytes) {
    std::snprintf(two, sizeof two, "%02x", static_cast<unsigned char>(byte));
    text += two;
  }
  return text;
}

TEST(Crc32c, MatchesThePublishedCheckValue) {
  EXPECT_EQ(data::crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(data::crc32c(""), 0u);
}

TEST(Events, AreTheBytesThatTensorBoardWrites) {
  // This and the following were made by tests/checks/check_events.py with Python's tensorboard.
  const data::Metrics metrics{.step = 300, .time = 1.5, .values = {{"loss", 0.25}}};
  EXPECT_EQ(
      hex(data::event_record(data::scalar_event(metrics))),
      "1b000000000000001a0d9e1309000000000000f83f10ac022a0d0a0b0a046c6f7373150000803e9908deed");
}

TEST(Events, AFileBeginsWithItsVersion) {
  const fs::path folder = tests::fresh_folder("laurel_events");
  const fs::path file = data::start_events(folder, 1700000000.25);
  EXPECT_EQ(file.filename(), "events.out.tfevents.1700000000.250.laurel");
  const size_t before = fs::file_size(file);
  EXPECT_NE(data::read_file(file).find("brain.Event:2"), std::string::npos);
  data::append_events(file, {.step = 1, .values = {{"a", 1}, {"b", 2}}});
  EXPECT_GT(fs::file_size(file), before);
}

TEST(Events, AnImageIsAWholePng) {
  EXPECT_EQ(hex(data::image_event({1.5, 3}, {{"samples/0", "png", 2, 4}})),
            "09000000000000f83f10032a1a0a180a0973616d706c65732f30220b0802100418032203706e67");
}

TEST(Events, ATextIsATensorOfTheTextPlugin) {
  EXPECT_EQ(hex(data::text_event({1.5, 3}, "prompts", "a *b*")),
            "09000000000000f83f10032a260a240a0770726f6d707473420f0807120412020801420561202a622a4a"
            "080a060a0474657874");
}

TEST(Events, HyperparametersAreAnExperimentAndASession) {
  data::EventRun run{.name = "run",
                     .parameters = {{"lr", "0.5"}, {"guard", "\"auto\""}, {"dry", "false"}},
                     .metrics = {"seen/aesthetic"}};
  EXPECT_EQ(hex(data::hparams_events(1.5, run).at(0)),
            "09000000000000f83f2a670a650a145f68706172616d735f2f6578706572696d656e744a4d0a4b0a0768"
            "706172616d731240123e19000000000000f83f22060a026c72200322090a056775617264200122070a03"
            "64727920022a120a10120e7365656e2f616573746865746963320372756e");
  run.parameters.resize(1);
  EXPECT_EQ(hex(data::hparams_events(1.5, run).at(1)),
            "09000000000000f83f2a500a4e0a1c5f68706172616d735f2f73657373696f6e5f73746172745f696e66"
            "6f4a2e0a2c0a0768706172616d7312211a1f0a0f0a026c72120911000000000000e03f220372756e2900"
            "0000000000f83f");
  EXPECT_EQ(hex(data::hparams_end_event(1.5)),
            "09000000000000f83f2a3a0a380a1a5f68706172616d735f2f73657373696f6e5f656e645f696e666f4a"
            "1a0a180a0768706172616d73120d220b080111000000000000f83f");
}

TEST(Events, ParametersAreLinesOfAConfiguration) {
  const auto found = data::parameters_of("a = 1\nb = \"x = y\"\n\nno line\n");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0], (std::pair<std::string, std::string>("a", "1")));
  EXPECT_EQ(found[1], (std::pair<std::string, std::string>("b", "\"x = y\"")));
}

}  // namespace
