#pragma once

// Changes of the layers that a transformer's original code has in one piece: queries, keys and
// values of an attention.

#include <map>
#include <string>

#include "diffusion/lora/forms.hpp"

namespace diffusion {

// A change of the transformer's module, under the original code's name, as changes of diffusers'
// layers: of a low-rank one each has the rows of the upper factor and the whole lower one, another
// form becomes whole differences. Scale and shift are put in diffusers' order. A module of
// diffusers' name is as it is. Throws BadInput beginning with `where` when the rows do not divide.
std::map<std::string, LoraChange> diffusers_changes(const std::string& module,
                                                    const LoraChange& change,
                                                    const std::string& where);

// The reverse for low-rank changes of FLUX's layers: those of a fused one as one change of the sum
// of their ranks, whose upper factor is a diagonal of blocks, as kohya's split_qkv writes it. The
// scales of fused ones go into the upper factors. Throws c10::Error for another form or network.
std::map<std::string, LoraChange> original_changes(
    const std::map<std::string, LoraChange>& modules);

}  // namespace diffusion
