#pragma once

// Answers as files that other programs read, and back.

#include <filesystem>
#include <string>
#include <vector>

#include "tools/studio/store/images.hpp"
#include "tools/studio/store/votes.hpp"

namespace studio {

// An answer with its pictures.
struct NamedVote {
  const StandingVote* vote = nullptr;
  const StoredImage *left = nullptr, *right = nullptr;
  std::string person;
};

// A form of answers, a row: its name, what it is, and how it is written to a file or a folder.
struct ExportForm {
  const char* name;
  const char* help;
  void (*write)(const std::filesystem::path& place, const std::vector<NamedVote>& votes);
};
const std::vector<ExportForm>& export_forms();

struct ExportOptions {
  std::string form = "laurel";
  bool names = false;  // else people are the first digits of their name's SHA-256
};
struct Exported {
  int64_t learn = 0, held_out = 0;  // answers
  std::filesystem::path held_out_place;
};
// Writes what stands, without skips: answers to learn from to `place`, those that only measure
// beside it ("choices.jsonl": "choices-held-out.jsonl"). Paths are relative to the file's folder.
// Throws BadInput when there is no answer to learn from.
Exported export_votes(data::Database& store,
                      const std::filesystem::path& place,
                      const ExportOptions& options);
// The answers to learn from in laurel's form, as text, never those that only measure; paths are
// relative to `folder`. person 0: all people's
std::string votes_as_lines(data::Database& store,
                           const std::filesystem::path& folder,
                           bool names,
                           int64_t person = 0);

struct Imported {
  int64_t pairs = 0;
  std::vector<std::string> left_out;  // a line each
};
// Adds choices in any form that rewards/pairs/choices.hpp reads. `person`: of choices that name
// none. Single likes are left out: they are no pairs.
Imported import_choices(data::Database& store,
                        const std::filesystem::path& choices,
                        const std::string& person);

}  // namespace studio
