#include "data/weights/torch_file.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/weights/pickle.hpp"
#include "data/weights/safetensors.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(tests::source_dir()) / "tests" / "golden" / "torch_files";

std::string complaint(const fs::path& path) {
  try {
    data::read_torch_file(path);
  } catch (const data::BadInput& error) {
    return error.what();
  }
  ADD_FAILURE() << path << ": expected BadInput";
  return "";
}

void expect_the_tensors(const data::Weights& found) {
  const auto expected = data::read_safetensors(kGolden / "expected.safetensors");
  EXPECT_EQ(found.tensors.size(), expected.tensors.size());
  for (const auto& [name, tensor] : expected.tensors) {
    ASSERT_TRUE(found.tensors.count(name)) << name;
    EXPECT_EQ(found.tensors.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(at::equal(found.tensors.at(name), tensor)) << name;
  }
}

TEST(TorchFile, HoldsWhatPythonSaved) {
  expect_the_tensors(data::read_torch_file(kGolden / "plain.pt"));
}

TEST(TorchFile, TakesTheStateDictOfATrainersCheckpointAlone) {
  expect_the_tensors(data::read_torch_file(kGolden / "lightning.ckpt"));
}

TEST(TorchFile, JoinsTheNamesOfNestedDictionaries) {
  const auto found = data::read_torch_file(kGolden / "nested.pt");
  ASSERT_EQ(found.tensors.size(), 1u);
  EXPECT_EQ(found.tensors.begin()->first, "unet.conv.weight");
}

TEST(TorchFile, OutlivesItsFile) {
  const fs::path copy = fs::path(testing::TempDir()) / "laurel_copy.pt";
  fs::copy_file(kGolden / "plain.pt", copy, fs::copy_options::overwrite_existing);
  const auto found = data::read_torch_file(copy);
  fs::remove(copy);
  expect_the_tensors(found);
}

TEST(TorchFile, RefusesCodeByNameAndDoesNotRunIt) {
  fs::remove("ran");
  EXPECT_NE(complaint(kGolden / "code.ckpt").find("posix.system"), std::string::npos);
  EXPECT_FALSE(fs::exists("ran"));
}

TEST(TorchFile, SaysWhatAFileIsInstead) {
  EXPECT_NE(complaint(kGolden / "legacy.pt").find("zip archive"), std::string::npos);
  EXPECT_NE(complaint(kGolden / "no_tensors.pt").find("expected tensors by name"),
            std::string::npos);
  EXPECT_NE(complaint(kGolden / "none.pt").find("no such file"), std::string::npos);
  EXPECT_NE(complaint(kGolden).find("found a folder"), std::string::npos);
}

// What trainers keep tensors in, beside plain dictionaries: a ParameterDict, a Counter, and the way
// in which torch writes types that have no storage of their own.
TEST(TorchFile, OfContainersAndNewerTypes) {
  const auto found = data::read_torch_file(kGolden / "containers.pt");
  ASSERT_EQ(found.tensors.size(), 3u);
  EXPECT_EQ(found.tensors.at("string_to_param.*").sizes(), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(found.tensors.at("string_to_param.*")[1][2].item<double>(), 5.0);
  EXPECT_EQ(found.tensors.at("unsigned").scalar_type(), at::kUInt16);
  EXPECT_EQ(found.tensors.at("unsigned").to(at::kInt)[1].item<int>(), 65535);
  EXPECT_EQ(found.tensors.at("half").scalar_type(), at::kHalf);
}

// Files that are made to harm: dictionaries that hold themselves, and a tensor of 2^64 values that
// repeats one.
TEST(TorchFile, HostileOnesAreRefusedAtOnce) {
  EXPECT_NE(complaint(kGolden / "hostile_cycle.pt").find("expected tensors by name"),
            std::string::npos);
  EXPECT_NE(complaint(kGolden / "hostile_shared.pt").find("hold each other"), std::string::npos);
  EXPECT_NE(complaint(kGolden / "hostile_shape.pt").find("tensor w: impossible shape"),
            std::string::npos);
  EXPECT_NE(complaint(kGolden / "hostile_repeat.pt").find("of more values than the file holds"),
            std::string::npos);
}

// A file truncated or changed anywhere is read or refused; the program never crashes.
TEST(TorchFile, DamageIsRefused) {
  const fs::path path = fs::path(testing::TempDir()) / "laurel_damaged.ckpt";
  const std::string whole = data::read_file(kGolden / "lightning.ckpt");
  for (size_t size = 1; size < whole.size(); size += 97) {
    data::write_file(path, std::string_view(whole).substr(0, size));
    EXPECT_THROW(data::read_torch_file(path), data::BadInput) << size;
  }
  int64_t refused = 0;
  for (size_t at = 0; at < whole.size(); at += 13) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0xff);
    data::write_file(path, changed);
    try {
      data::read_torch_file(path);
    } catch (const data::BadInput&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
}

TEST(Pickle, NumbersByHand) {
  const auto number = [](const std::string& body) {
    const auto value = data::read_pickle("\x80\x02" + body + ".", "hand");
    return std::get<int64_t>(value.root->value);
  };
  EXPECT_EQ(number("K\x07"), 7);
  EXPECT_EQ(number(std::string("M\x02\x01", 3)), 258);
  EXPECT_EQ(number("J\xff\xff\xff\xff"), -1);
  EXPECT_EQ(number("\x8a\x01\xfe"), -2);
  EXPECT_EQ(number(std::string("\x8a\x02\x00\x01", 4)), 256);
  EXPECT_EQ(number(std::string("\x8a\x00", 2)), 0);
  const auto real = data::read_pickle(std::string("\x80\x02G\x3f\xf8\0\0\0\0\0\0.", 12), "hand");
  EXPECT_EQ(std::get<double>(real.root->value), 1.5);
}

// Lists within lists are freed one after the other, whatever their depth.
TEST(Pickle, DepthAndNumberAreBounded) {
  const std::string deep = "\x80\x02" + std::string(900'000, ']') + std::string(899'999, 'a') + ".";
  const auto read = data::read_pickle(deep, "hand");
  EXPECT_EQ(std::get<data::PickleList>(read.root->value).size(), 1u);
  std::string many = "\x80\x02";
  for (int i = 0; i < 2'100'000; ++i) many += "N0";  // None, popped
  EXPECT_THROW(data::read_pickle(many + "N.", "hand"), data::BadInput);
}

// A pickle can name one long value again and again: what each use of it copies is bounded.
TEST(Pickle, WhatConstructorsCopyIsBounded) {
  const auto refused = [](const std::string& body) {
    return refusal([&] { data::read_pickle("\x80\x02" + body + ".", "hand"); });
  };
  const auto text = [](const std::string& letters) {  // BINUNICODE
    const auto size = static_cast<uint32_t>(letters.size());
    return "X" + std::string(reinterpret_cast<const char*>(&size), 4) + letters;
  };
  const auto storage = [&](size_t key) {
    return "(" + text("storage") + "ctorch\nFloatStorage\n" + text(std::string(key, 'k')) +
           text("cpu") + "K\x01tQ";
  };
  const auto name = [](size_t letters) {
    return "c__torch__\n" + std::string(letters - 10, 'a') + "\n";
  };
  const auto tensor = [&](size_t axes) {
    std::string shape = "(";
    for (size_t i = 0; i < axes; ++i) shape += "K\x01";
    return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage(1) + std::string("K\0", 2) + shape +
           "t" + shape + "ttR";
  };
  EXPECT_EQ(refused(name(1000)), "");
  EXPECT_NE(refused(name(1001)).find("a name of more than 1000 letters"), std::string::npos);
  EXPECT_EQ(refused(storage(1000)), "");
  EXPECT_NE(refused(storage(1001)).find("key of more than 1000"), std::string::npos);
  EXPECT_EQ(refused(tensor(64)), "");
  EXPECT_NE(refused(tensor(65)).find("more than 64 axes"), std::string::npos);
  std::string modules = std::string("}q\0(", 4);
  for (int i = 0; i < 1000; ++i) modules += "NN";
  modules += "u";
  for (int i = 0; i < 2001; ++i) modules += std::string("c__torch__\nA\n)Rh\0b0", 19);
  EXPECT_NE(refused(modules).find("more attributes"), std::string::npos);
}

TEST(Pickle, MalformedOnesAreRefused) {
  for (const std::string& bytes :
       {std::string(), std::string("K\x01."), std::string("\x80\x02"), std::string("\x80\x02."),
        std::string("\x80\x02t."), std::string("\x80\x02)s."), std::string("\x80\x02h\x01."),
        std::string("\x80\x02X\xff\xff\xff\xffx."), std::string("\x80\x02(K\x01u."),
        std::string("\x80\x09K\x01."), std::string("\x80\x02\x01.")})
    EXPECT_THROW(data::read_pickle(bytes, "hand"), data::BadInput);
}

}  // namespace
