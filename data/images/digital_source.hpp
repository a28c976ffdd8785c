#pragma once

// The mark of pictures that a model made: the property DigitalSourceType of the IPTC Photo Metadata
// Standard 2023.1, in an XMP packet.

#include <string>
#include <string_view>

#include "data/images/formats/png_text.hpp"

namespace data {

// As a text chunk of a PNG. Generated: "trainedAlgorithmicMedia"; edited from a picture:
// "compositeWithTrainedAlgorithmicMedia" (IPTC's NewsCodes, digitalsourcetype).
PngText generated_mark();
PngText edited_mark();

// The last word of the source type that a file's XMP packet names, "trainedAlgorithmicMedia"; ""
// when there is none. Reads PNG, JPEG and WebP, where the packet is stored as it is.
std::string digital_source_type(std::string_view file);

}  // namespace data
