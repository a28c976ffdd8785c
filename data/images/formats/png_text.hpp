#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace data {

// The text chunks of a PNG: keyword -> UTF-8 text. Web UIs keep their settings under "parameters".
using PngText = std::map<std::string, std::string>;

bool is_png(std::string_view bytes);

// Throws BadInput when a chunk that the pixels come from (IHDR, PLTE, IDAT) has a wrong checksum:
// the decoder would hand out other pixels without a word.
void check_png_pixels(std::string_view png, const std::string& source);

// The PNG without the IDAT chunks that hold nothing. They may stand among the others; the decoder
// copies from no address at the first. Throws BadInput for a truncated PNG.
std::string without_empty_data(std::string_view png, const std::string& source);

// The PNG's bytes with these chunks set, ahead of the pixels; a chunk of the same keyword is
// replaced, the rest stays as it is, with what follows the PNG's end. A text that fits Latin-1
// becomes tEXt, any other iTXt (PNG specification 1.2, section 4.2.3), as Pillow does; XML is iTXt.
// Throws
// BadInput, naming `source`, when the bytes are not a PNG.
std::string with_png_text(std::string_view png, const PngText& text, const std::string& source);

// The tEXt, zTXt and iTXt chunks. Checksums of text chunks are verified. Throws BadInput as above,
// and when the texts together are longer than 8 MB.
PngText png_text_of(std::string_view png, const std::string& source);

// The same on files.
PngText read_png_text(const std::filesystem::path& path);
void update_png_text(const std::filesystem::path& path, const PngText& text);

}  // namespace data
