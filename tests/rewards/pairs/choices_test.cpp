#include "rewards/pairs/choices.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using rewards::Answer;

class Choices : public testing::Test {
 protected:
  void SetUp() override { fs::remove_all(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  rewards::Choices read(const std::string& name, const std::string& text) const {
    data::write_file(folder_ / name, text);
    return rewards::read_choices(folder_ / name);
  }
  std::string refused(const std::string& name, const std::string& text) const {
    return refusal([&] { read(name, text); });
  }
  void picture(const std::string& name) const {
    data::write_png(folder_ / name, at::zeros({3, 4, 4}));
  }
  const fs::path folder_ = fs::path(testing::TempDir()) / "laurel_choices";
};

// "a.png>b.png x" of each pair, "=" for a tie, "!" for both bad.
std::string text_of(const rewards::Choices& choices) {
  std::string text;
  for (const auto& pair : choices.pairs) {
    const char* sign = pair.answer == Answer::kA     ? ">"
                       : pair.answer == Answer::kB   ? "<"
                       : pair.answer == Answer::kTie ? "="
                                                     : "!";
    text += pair.a.filename().string() + sign + pair.b.filename().string() + " " + pair.prompt;
    if (!pair.person.empty()) text += " by " + pair.person;
    if (pair.weight != 1) text += " x" + std::to_string(pair.weight).substr(0, 3);
    text += "; ";
  }
  return text;
}

TEST_F(Choices, ReadsLaurelsForm) {
  EXPECT_EQ(text_of(read("c.jsonl",
                         R"({"prompt":"x","a":"1","b":"2","winner":"a","person":"Ann","weight":2.5}

{"prompt":"x","a":"1","b":"2","winner":"b"}
{"prompt":"x","a":"1","b":"2","winner":"tie"}
{"prompt":"x","a":"1","b":"2","winner":"both_bad","person":null}
)")),
            "1>2 x by Ann x2.5; 1<2 x; 1=2 x; 1!2 x; ");
}

TEST_F(Choices, ReadsHowSureAChoiceIs) {
  const auto lines =
      read("c.jsonl", R"({"prompt":"x","a":"1","b":"2","winner":"a","p":0.9,"margin":1.3}
{"prompt":"x","a":"1","b":"2","winner":"b","p":null,"margin":null}
)")
          .pairs;
  EXPECT_EQ(lines[0].p, 0.9);
  EXPECT_EQ(lines[0].margin, 1.3);
  EXPECT_FALSE(lines[1].p);
  EXPECT_EQ(lines[1].margin, 0);
  EXPECT_EQ(read("c.csv", "prompt,a,b,winner,margin\nx,1,2,a,0.5\nx,1,2,a,\n").pairs[0].margin,
            0.5);
}

TEST_F(Choices, ReadsTheFieldsForms) {
  EXPECT_EQ(text_of(read("c.jsonl", R"({"prompt":"s","pos_path":"1","neg_path":"2"}
{"prompt":"i","generations":["1","2","3"],"ranking":[2,1,2]}
{"prompt":"h","image_path":["1","2"],"rank":[0,1]}
{"prompt":"h","image_path":["1","2"],"human_preference":[0,1],"user_hash":"f00"}
{"prompt":"h","file_path":["1","2"],"human_preference":[1,0]}
{"caption":"p","image_0":"1","image_1":"2","label_0":0.5,"label_1":0.5,"user_id":17}
{"caption":"p","image_0":"1","image_1":"2","label_0":null,"label_1":null,"has_label":false}
)")),
            "1>2 s; 1<2 i; 1=3 i; 2>3 i; 1>2 h; 1<2 h by f00; 1>2 h; 1=2 p by 17; ");
  EXPECT_EQ(text_of(read("test.json", R"([{"prompt":"h","image_path":["1","2"],"rank":[1,0]}])")),
            "1<2 h; ");
}

TEST_F(Choices, ReadsTables) {
  EXPECT_EQ(text_of(read("p.csv",
                         "caption,image_0,image_1,label_0,label_1,user_id,has_label\n"
                         "\"a dog, running\",1,2,0,1,4,True\n,3,4,1,0,,True\nx,5,6,,,,False\n")),
            "1<2 a dog, running by 4; 3>4 ; ");
  const auto likes = read("l.csv", "like,dislike,person\n1.png,,Ann\n,2.png,\n").likes;
  ASSERT_EQ(likes.size(), 2u);
  EXPECT_TRUE(likes[0].liked);
  EXPECT_EQ(likes[0].person, "Ann");
  EXPECT_FALSE(likes[1].liked);
  EXPECT_EQ(likes[1].image, folder_ / "2.png");
}

TEST_F(Choices, ReadsSingleLikes) {
  const auto likes =
      read("l.jsonl", "{\"like\":\"1.png\"}\n{\"dislike\":\"2.png\",\"prompt\":\"x\"}\n").likes;
  ASSERT_EQ(likes.size(), 2u);
  EXPECT_TRUE(likes[0].liked);
  EXPECT_EQ(likes[1].prompt, "x");
}

TEST_F(Choices, ReadsFoldersOfWinnersAndLosers) {
  for (const char* name : {"w/1.png", "l/1.png", "w/2.png", "l/3.png"}) picture(name);
  data::write_file(folder_ / "w/1.txt", "a cat\n");
  const auto choices = rewards::read_choices(folder_);
  EXPECT_EQ(text_of(choices), "1.png>1.png a cat; ");
  EXPECT_EQ(choices.pairs[0].a, folder_ / "w/1.png");
  ASSERT_EQ(choices.left_out.size(), 2u);
  EXPECT_NE(choices.left_out[0].find("3.png: no preferred image w/3.*"), std::string::npos);
  EXPECT_NE(choices.left_out[1].find("2.png: no other image l/2.*"), std::string::npos);
}

TEST_F(Choices, ReadsSiblings) {
  for (const char* name : {"1.png", "1-rejectedlabel.png", "2.png", "3-rejectedlabel.png"})
    picture(name);
  data::write_file(folder_ / "1-rejectedlabel.txt", "a cat");
  const auto choices = rewards::read_choices(folder_);
  EXPECT_EQ(text_of(choices), "1.png>1-rejectedlabel.png a cat; ");
  ASSERT_EQ(choices.left_out.size(), 1u);
  EXPECT_NE(choices.left_out[0].find("3-rejectedlabel.png: no preferred image 3.*"),
            std::string::npos);
}

TEST_F(Choices, RefusesWhatIsNoChoiceByFileAndLine) {
  const std::string good = "{\"prompt\":\"x\",\"a\":\"1\",\"b\":\"2\",\"winner\":\"a\"}\n";
  const auto line_2 = [&](const std::string& line) { return refused("c.jsonl", good + line); };
  EXPECT_NE(line_2("{\"prompt\":\"x\"}").find("c.jsonl:2: none of the known forms"),
            std::string::npos);
  EXPECT_NE(line_2("{\"prompt\":\"x\",\"a\":\"1\",\"b\":\"2\",\"winner\":\"c\"}")
                .find("c.jsonl:2: winner: expected a, b, tie or both_bad, found 'c'"),
            std::string::npos);
  EXPECT_NE(line_2("{\"prompt\":\"x\",\"a\":\"1\",\"b\":\"2\",\"winner\":\"a\",\"weight\":0}")
                .find("c.jsonl:2: weight: expected a number above 0"),
            std::string::npos);
  for (const char* margin : {"-0.1", "\"1\"", "[1]"})
    EXPECT_NE(line_2(R"({"prompt":"x","a":"1","b":"2","winner":"a","margin":)" +
                     std::string(margin) + "}")
                  .find("c.jsonl:2: margin"),
              std::string::npos)
        << margin;
  EXPECT_NE(refused("d.csv", "prompt,a,b,winner,margin\nx,1,2,a,nan\n").find("d.csv:2: margin"),
            std::string::npos);
  EXPECT_NE(line_2("{\"like\":\"1\",\"dislike\":\"1\"}").find("c.jsonl:2: holds like and dislike"),
            std::string::npos);
  EXPECT_NE(line_2("{\"like\":\"\"}").find("c.jsonl:2: like is empty"), std::string::npos);
  EXPECT_NE(line_2("{\"prompt\":\"h\",\"image_path\":[\"1\"],\"rank\":[0]}")
                .find("c.jsonl:2: image_path: 1 images, 1 ranks (2 to 256 of each)"),
            std::string::npos);
  // A line of 20 kB whose pairs would hold 650 MB.
  std::string files = "\"1\"", ranks = "1";
  for (int i = 1; i < 256; ++i) {
    files += ",\"1\"";
    ranks += ",1";
  }
  const std::string ranking = ",\"generations\":[" + files + "],\"ranking\":[" + ranks + "]}\n";
  EXPECT_NE(line_2("{\"prompt\":\"" + std::string(20'000, 'h') + "\"" + ranking)
                .find("c.jsonl:2: generations: texts too long for a ranking of 256 images"),
            std::string::npos);
  EXPECT_NE(line_2("[").find("c.jsonl:2"), std::string::npos);
}

TEST_F(Choices, RefusesFilesWithoutChoices) {
  EXPECT_NE(refused("c.jsonl", "\n").find("c.jsonl: expected choices, found none"),
            std::string::npos);
  EXPECT_NE(refused("c.json", "{}").find("c.json: expected an array of choices"),
            std::string::npos);
  EXPECT_NE(refused("c.json", "[3]").find("c.json: entry 1: expected an object, found 3"),
            std::string::npos);
  EXPECT_NE(refused("c.csv", "like;dislike\n1;\n").find("c.csv"), std::string::npos);
  EXPECT_NE(
      refused("d.csv", "like,dislike\n1\n").find("d.csv:2: expected 2 fields as in the first line"),
      std::string::npos);
  EXPECT_NE(refusal([&] { rewards::read_choices(folder_ / "none.jsonl"); }).find("none.jsonl"),
            std::string::npos);
  fs::remove_all(folder_);
  picture("1.png");
  EXPECT_NE(refusal([&] { rewards::read_choices(folder_); }).find("found no such pair"),
            std::string::npos);
}

}  // namespace
