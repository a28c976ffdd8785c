#include "data/images/digital_source.hpp"

namespace data {
namespace {

constexpr const char* kKeyword = "XML:com.adobe.xmp";  // XMP specification part 3, 1.1.5
constexpr std::string_view kCodes = "http://cv.iptc.org/newscodes/digitalsourcetype/";

PngText mark_of(const std::string& source_type) {
  return {{kKeyword,
           "<?xpacket begin=\"\xEF\xBB\xBF\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n"
           "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n"
           " <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n"
           "  <rdf:Description rdf:about=\"\"\n"
           "    xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\"\n"
           "    Iptc4xmpExt:DigitalSourceType=\"" +
               std::string(kCodes) + source_type +
               "\"/>\n"
               " </rdf:RDF>\n"
               "</x:xmpmeta>\n"
               "<?xpacket end=\"r\"?>"}};
}

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

PngText generated_mark() { return mark_of("trainedAlgorithmicMedia"); }
PngText edited_mark() { return mark_of("compositeWithTrainedAlgorithmicMedia"); }

std::string digital_source_type(std::string_view file) {
  const size_t packet = file.find("<x:xmpmeta");
  if (packet == file.npos) return "";
  const std::string_view xmp =
      file.substr(packet, file.find("</x:xmpmeta>", packet) - packet);  // or to the file's end
  const size_t property = xmp.find("DigitalSourceType"), code = xmp.find(kCodes, property);
  if (property == xmp.npos || code == xmp.npos) return "";
  std::string word;
  for (const char c : xmp.substr(code + kCodes.size())) {
    if (!is_word(c)) break;
    word += c;
  }
  return word;
}

}  // namespace data
