#pragma once

// Writes and parses instructions for edits, and describes edits in words.

#include <string>

#include "data/world/edit.hpp"

namespace world {

// The instruction in a random wording. A shape whose kind is unique in the scene may be named
// without its colour.
std::string instruction(const Scene& source, const Edit& edit, RandomStream& random);

// Parses an instruction. Throws data::BadInput for a text outside the grammar, and for a shape that
// the scene does not have or has twice.
Edit parse_instruction(const std::string& text, const Scene& source);

std::string subject(const Scene& source, const Edit& edit);  // "the red circle", "the background"
std::string past_participle(EditOperation operation);        // "recoloured", "moved", ..
std::string name(EditOperation operation);                   // "recolour"

}  // namespace world
