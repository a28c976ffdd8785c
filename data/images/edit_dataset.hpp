#pragma once

// Lists of edits to learn from or to rate: a source image, an instruction, the edited image, and
// how good it was.

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace data {

struct EditTriple {
  std::filesystem::path source, edited;  // edited "": none is named
  std::string instruction;
  std::map<std::string, double> scores;  // by axis; empty: not scored
  std::string feedback;                  // words on what went wrong; empty: none
  std::string id;                        // empty: none
  std::string where;                     // "metadata.jsonl:12"
  std::string line;                      // the JSON itself
};

// A folder with metadata.jsonl, or a JSONL file whose images stand beside it; an object a line:
//   source       file_name | input_image | original_image | source_image | source_img | source
//   edited       edited_file_name | edited_image | target_image | edited
//   instruction  edit_prompt | instruction | edit | prompt
//   scores       {"instruction_following": 4.5, ...}                        may be left out
//   feedback     "text", or a list of texts that "; " joins                 may be left out
// Image names may end in _file_name, as Hugging Face's image folders call them. Other keys are
// passed over. Throws BadInput with file and line for a line that is not so, an empty instruction,
// a score that is no number, and an image that is not there; and when there is no line. Without
// `needs_edited` a line may leave the edited image out.
std::vector<EditTriple> read_edit_triples(const std::filesystem::path& folder_or_file,
                                          bool needs_edited = true);

// Its line again under laurel's own names for the images and the instruction, the images named
// anew; every other key as it was.
nlohmann::ordered_json renamed_line(const EditTriple& triple,
                                    const std::string& source,
                                    const std::string& edited);

}  // namespace data
