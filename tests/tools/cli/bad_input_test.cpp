// Bad input to the program: exit code 2, and one line on stderr that says what is wrong and where.

#include "tests/support/bad_input.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/base/files.hpp"
#include "data/images/image_io.hpp"

namespace {

namespace fs = std::filesystem;

using bad_input::Case;
using bad_input::case_name;

// A safetensors file from its header and the bytes after it.
std::string safetensors(const std::string& header, size_t data_bytes) {
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + header +
         std::string(data_bytes, '\0');
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"x":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

void write_weights(const fs::path& folder) {
  const auto write = [&](const char* name, const std::string& bytes) {
    data::write_file(folder / name, bytes);
  };
  const std::string good = safetensors(entry("F32", "[4]", "[0,16]"), 16);
  write("good.safetensors", good);
  write("empty.safetensors", "");
  write("short.safetensors", "1234");
  write("truncated.safetensors", good.substr(0, good.size() - 5));
  write("oversized.safetensors", good + "more");
  write("header_cut.safetensors", good.substr(0, 20));
  write("not_json.safetensors", safetensors("{oops", 16));
  write("overlap.safetensors",
        safetensors(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},)"
                    R"("b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}})",
                    24));
  write("shape.safetensors", safetensors(entry("F32", "[5]", "[0,16]"), 16));
  write("negative.safetensors", safetensors(entry("F32", "[-4]", "[0,16]"), 16));
  write("backwards.safetensors", safetensors(entry("F32", "[4]", "[16,0]"), 16));
}

void write_pictures(const fs::path& folder) {
  const at::Tensor grey = at::full({3, 64, 64}, 0.5);
  data::write_png(folder / "good.png", grey);
  const std::string png = data::read_file(folder / "good.png");
  data::write_file(folder / "cut.png", png.substr(0, png.size() / 2));
  data::write_file(folder / "text.png", "this is no picture\n");
  data::write_file(folder / "empty.png", "");
  fs::create_directories(folder / "no_pictures");
  for (const char* name : {"pictures", "bare", "bad_metadata", "lost_file"}) {
    data::write_png(folder / name / "a.png", grey);
    data::write_png(folder / name / "b.png", grey);
  }
  data::write_file(folder / "bad_metadata/metadata.jsonl", "{\"file_name\": \"a.png\"}\n");
  data::write_file(folder / "lost_file/metadata.jsonl",
                   "{\"file_name\": \"c.png\", \"text\": \"c\"}\n");
  data::write_file(folder / "unreadable/cut.png", png.substr(0, png.size() / 2));
  data::write_png(folder / "broken_run/samples/base/0000.png", grey);
  data::write_file(folder / "broken_run/samples/base/scores.jsonl", "{oops\n");
  data::write_file(folder / "pictures/a.txt", "a red circle\n");
  data::write_file(folder / "pictures/b.txt", "a caf\xe9\n");
}

void write_texts(const fs::path& folder) {
  const auto write = [&](const char* name, const std::string& text) {
    data::write_file(folder / name, text);
  };
  write("malformed.toml", "count = 3\nseed = = 4\n");
  write("unknown.toml", "seed = 4\ncuont = 3\n");
  write("type.toml", "seed = 4\ncount = \"many\"\n");
  write("range.toml", "count = 0\n");
  write("letter.toml",
        "seed = 4\n\xC3\xA9 = 3\n");  // a class of letters that the library gets wrong
  write("twice.toml", "count = 3\ncount = 4\n");
  std::string key = "a";
  for (int i = 0; i < 100000; ++i) key += ".a";
  write("deep.toml", key + " = 1\n");
  write("deep_list.toml", "count = " + std::string(100000, '[') + "\n");
  write("large.toml", std::string(2 << 20, '\n'));
  write("empty.txt", "\n\n");
  write("latin1.txt", "a caf\xe9\n");
  write("broken.jsonl", "{\"prompt\": \"a red circle\"}\n{oops\n");
  write("model.ckpt", "a pickle");
  write("vae_bare/config.json", R"({"_class_name": "AutoencoderKL"})");
  write("vae_other/config.json", R"({"_class_name": "AutoencoderKL"})");
  fs::copy_file(folder / "good.safetensors",
                folder / "vae_other/diffusion_pytorch_model.safetensors");
  write("vae_broken/config.json", "{oops");
  data::write_file(folder / "drawn/metadata.jsonl", "{}\n");
}

void write_fixtures(const fs::path& folder) {
  write_weights(folder);
  write_pictures(folder);
  write_texts(folder);
}

std::string fixtures() {
  static const bad_input::Folder folder("laurel_bad_input_", write_fixtures);
  return folder.text();
}

class BadInput : public testing::TestWithParam<Case> {};

TEST_P(BadInput, OneLineAndTwo) { bad_input::expect_refused(GetParam(), fixtures()); }

INSTANTIATE_TEST_SUITE_P(
    Options,
    BadInput,
    testing::Values(
        Case{"UnknownCommand", "smaple", {"'smaple'"}},
        Case{"UnknownFlag", "world --cuont 3", {"cuont", "did you mean", "count"}},
        Case{"MissingValue", "world --count", {"count"}},
        Case{"NotANumber", "world --count many", {"--count", "'many'"}},
        Case{"OutOfRange", "world --count 0 --check", {"--count", "0"}},
        Case{"NotAChoice", "world --split sene --out @/x", {"--split", "sene", "seen"}},
        Case{"NothingToDo", "world", {"--out", "--check"}},
        Case{"Stray", "world stray", {"'stray'"}},
        Case{"MissingConfig", "world --config @/none.toml", {"@/none.toml"}},
        Case{"ConfigIsAFolder", "world --config @/drawn", {"@/drawn"}},
        Case{"LetterInToml", "world --config @/letter.toml", {"@/letter.toml:2"}},
        Case{"MalformedToml", "world --config @/malformed.toml", {"@/malformed.toml:2"}},
        Case{"UnknownKey", "world --config @/unknown.toml", {"@/unknown.toml:2", "cuont", "count"}},
        Case{"WrongType", "world --config @/type.toml", {"@/type.toml:2", "count"}},
        Case{"TomlOutOfRange", "world --config @/range.toml", {"@/range.toml:1", "count", "0"}},
        Case{"KeyTwice",
             "world --config @/twice.toml",
             {"@/twice.toml:2: expected KEY = VALUE as TOML has it (texts in quotes, a key once), "
              "found 'count = 4'"}},
        Case{"DeepKey", "world --config @/deep.toml", {"@/deep.toml", "100 parts"}},
        Case{"DeepList", "world --config @/deep_list.toml", {"@/deep_list.toml:1"}},
        Case{"LargeToml", "world --config @/large.toml", {"@/large.toml", "1 MiB"}},
        Case{"EndlessToml", "world --config /dev/zero", {"/dev/zero", "64 MiB"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Output,
    BadInput,
    testing::Values(
        Case{"FolderInUse", "world --out @/drawn --count 1", {"@/drawn", "metadata.jsonl"}},
        Case{"FolderIsAFile", "world --out @/good.png --count 1", {"@/good.png"}},
        Case{"ReadOnlyPlace", "world --out /proc/laurel --count 1", {"/proc/laurel"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Gallery,
    BadInput,
    testing::Values(
        Case{"NoFolder", "gallery", {"expected a run folder or a folder of images"}},
        Case{"MissingFolder", "gallery @/none -o @/page.html", {"@/none", "found nothing"}},
        Case{"AFile", "gallery @/good.png -o @/page.html", {"@/good.png", "found a file"}},
        Case{"NoPictures",
             "gallery @/no_pictures -o @/page.html",
             {"@/no_pictures", "found no image"}},
        Case{"UnreadablePictures", "gallery @/unreadable -o @/page.html", {"@/unreadable/cut.png"}},
        Case{"BrokenScores", "gallery @/broken_run -o @/page.html", {"scores.jsonl:1"}},
        Case{"ReadOnlyPage", "gallery @/pictures -o /proc/x/page.html", {"/proc/x"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Pretrain,
    BadInput,
    testing::Values(
        Case{"UnknownModel", "pretrain clop", {"'clop'", "did you mean clip"}},
        Case{"NoOutput", "pretrain clip", {"output_dir"}},
        Case{"HeadsDoNotDivide",
             "pretrain clip --output_dir @/out --num_attention_heads 3",
             {"num_attention_heads", "3"}},
        Case{"NoOutputOfVae", "pretrain vae", {"output_dir"}},
        Case{"NothingToResume",
             "pretrain vae --output_dir @/out --resume_from_checkpoint @/none.safetensors",
             {"@/none.safetensors"}},
        Case{"WidthIsNoNumber",
             "pretrain vae --output_dir @/out --block_out_channels x",
             {"block_out_channels", "'x'"}},
        Case{"ResolutionOfNoLatent",
             "pretrain vae --output_dir @/out --resolution 63",
             {"resolution", "63"}},
        Case{"MissingData",
             "pretrain vae --output_dir @/out --data @/none",
             {"@/none", "found nothing"}},
        Case{"DataWithoutPictures",
             "pretrain vae --output_dir @/out --data @/no_pictures",
             {"@/no_pictures"}},
        Case{"MetadataWithoutText",
             "pretrain vae --output_dir @/out --data @/bad_metadata",
             {"metadata.jsonl:1", "text"}},
        Case{"MetadataOfALostFile",
             "pretrain vae --output_dir @/out --data @/lost_file",
             {"metadata.jsonl:1", "c.png"}},
        Case{"VaeWithoutConfig",
             "pretrain vae --evaluate @/no_pictures",
             {"@/no_pictures", "config.json"}},
        Case{"VaeWithoutWeights", "pretrain vae --evaluate @/vae_bare", {"@/vae_bare"}},
        Case{"VaeOfOtherWeights", "pretrain vae --evaluate @/vae_other", {"@/vae_other"}},
        Case{"VaeConfigBroken",
             "pretrain vae --evaluate @/vae_broken",
             {"@/vae_broken/config.json"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Weights,
    BadInput,
    testing::Values(
        Case{"Missing", "inspect @/none.safetensors", {"@/none.safetensors"}},
        Case{"NothingToInspect", "inspect @/no_pictures", {"@/no_pictures"}},
        Case{"NoFile", "inspect", {"expected a file"}},
        Case{"Empty", "inspect @/empty.safetensors", {"@/empty.safetensors", "0 bytes"}},
        Case{"Short", "inspect @/short.safetensors", {"@/short.safetensors", "4 bytes"}},
        Case{"HeaderCut", "inspect @/header_cut.safetensors", {"@/header_cut.safetensors"}},
        Case{"HeaderNotJson", "inspect @/not_json.safetensors", {"@/not_json.safetensors"}},
        Case{"Truncated", "inspect @/truncated.safetensors", {"@/truncated.safetensors"}},
        Case{"Oversized", "inspect @/oversized.safetensors", {"@/oversized.safetensors"}},
        Case{"Overlap", "inspect @/overlap.safetensors", {"@/overlap.safetensors"}},
        Case{"ShapeAndBytesDiffer", "inspect @/shape.safetensors", {"@/shape.safetensors", "x"}},
        Case{"NegativeShape", "inspect @/negative.safetensors", {"@/negative.safetensors"}},
        Case{"OffsetsBackwards", "inspect @/backwards.safetensors", {"@/backwards.safetensors"}},
        Case{"Pickle", "inspect @/model.ckpt", {"@/model.ckpt", "zip archive", "safetensors"}}),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Score,
    BadInput,
    testing::Values(
        Case{"NoImage", "score", {"expected images"}},
        Case{"MissingImage", "score @/none.png -r brightness", {"@/none.png"}},
        Case{"CutImage", "score @/cut.png -r brightness", {"@/cut.png"}},
        Case{"TextAsImage", "score @/text.png -r brightness", {"@/text.png"}},
        Case{"EmptyImage", "score @/empty.png -r brightness", {"@/empty.png"}},
        Case{"UnknownReward", "score @/good.png -r brihgtness", {"brihgtness", "brightness"}},
        Case{"WeightIsNoNumber", "score @/good.png -r brightness=much", {"much"}},
        Case{"NoPrompt", "score @/good.png -r oracle", {"@/good.png", "prompt"}},
        Case{"PromptsMissing", "score @/good.png -r oracle --prompts @/none.txt", {"@/none.txt"}},
        Case{"PromptsNotUtf8",
             "score @/good.png -r oracle --prompts @/latin1.txt",
             {"@/latin1.txt:1", "UTF-8"}},
        Case{"PromptOutsideTheGrammar",
             "score @/good.png -r oracle -p 'a red cat'",
             {"word 3", "'cat'"}}),
    case_name);

// A limit on file sizes triggers the same errors as a full disk.
const char* const kFullDisk = "trap '' XFSZ; ulimit -f 0; ";

TEST(BadInputOnAFullDisk, NothingHalfWrittenIsLeft) {
  const auto outcome = bad_input::run_laurel("world --out @/full --count 1", fixtures(), kFullDisk);
  bad_input::expect_complaint(outcome, {"@/full/000000.png"}, fixtures());
  EXPECT_TRUE(fs::is_empty(fs::path(fixtures()) / "full"));
}

TEST(BadInputOnAFullDisk, TheOldFileStays) {
  const fs::path file = fs::path(fixtures()) / "scores.csv";
  data::write_file(file, "old\n");
  const auto outcome = bad_input::run_laurel("score @/good.png -r brightness -o @/scores.csv",
                                             fixtures(), kFullDisk);
  bad_input::expect_complaint(outcome, {"@/scores.csv"}, fixtures());
  EXPECT_EQ(data::read_file(file), "old\n");
}

}  // namespace
