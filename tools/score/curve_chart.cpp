#include "tools/score/curve_chart.hpp"

#include <algorithm>
#include <array>

#include "data/base/format.hpp"

namespace tools {
namespace {

constexpr double kWidth = 720, kHeight = 400, kLeft = 70, kRight = 170, kTop = 20, kBottom = 45;
constexpr std::array<const char*, 8> kColours = {"#1f6f8b", "#c4561e", "#4b7d31", "#7a4fa0",
                                                 "#b8912b", "#a23b53", "#2f5fb3", "#555555"};

// From values to the drawing's units.
struct ChartScale {
  double kl = 1e-9, low = 0, high = 1;

  double x(double value) const { return kLeft + (kWidth - kLeft - kRight) * value / kl; }
  double y(double value) const {
    return kTop + (kHeight - kTop - kBottom) * (high - value) / (high - low);
  }
};

ChartScale scale_of(const std::vector<NamedCurve>& curves) {
  ChartScale scale;
  scale.low = scale.high = curves.at(0).points.at(0).gold;
  for (const auto& curve : curves) {
    for (const auto& point : curve.points) {
      scale.kl = std::max(scale.kl, point.kl);
      scale.low = std::min(scale.low, point.gold);
      scale.high = std::max(scale.high, point.gold);
    }
  }
  const double room = std::max(1e-9, 0.05 * (scale.high - scale.low));
  scale.low -= room;
  scale.high += room;
  return scale;
}

std::string escaped(const std::string& text) {
  std::string safe;
  for (const char letter : text)
    safe += letter == '<' ? "&lt;" : letter == '&' ? "&amp;" : std::string(1, letter);
  return safe;
}

std::string text_at(double x, double y, const std::string& style, const std::string& text) {
  return data::formatted("<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, style.c_str()) + escaped(text) +
         "</text>\n";
}

std::string axes(const ChartScale& scale, const std::string& gold) {
  std::string svg;
  for (int i = 0; i <= 4; ++i) {
    const double share = i / 4.0, value = scale.low + share * (scale.high - scale.low);
    svg += data::formatted("<path d=\"M%.1f %.1fH%.1f\" stroke=\"#ddd\"/>\n", kLeft, scale.y(value),
                           kWidth - kRight);
    svg += text_at(kLeft - 8, scale.y(value) + 4, "text-anchor=\"end\"",
                   data::formatted("%.4g", value));
    svg += text_at(scale.x(share * scale.kl), kHeight - kBottom + 18, "text-anchor=\"middle\"",
                   data::formatted("%.2g", share * scale.kl));
  }
  return svg + text_at(kLeft, kTop - 6, "", gold) +
         text_at(kWidth - kRight, kHeight - 8, "text-anchor=\"end\"", "KL of best of n, nats");
}

}  // namespace

std::string curve_chart(const std::vector<NamedCurve>& curves, const std::string& gold) {
  const ChartScale scale = scale_of(curves);
  std::string svg = data::formatted(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      kWidth, kHeight);
  svg += axes(scale, gold);
  for (size_t c = 0; c < curves.size(); ++c) {
    const std::string colour = kColours[c % kColours.size()];
    std::string path;
    for (const auto& point : curves[c].points)
      path += data::formatted("%.1f,%.1f ", scale.x(point.kl), scale.y(point.gold));
    svg += "<polyline fill=\"none\" stroke=\"" + colour + "\" stroke-width=\"2\" points=\"" + path +
           "\"/>\n";
    const double row = kTop + 10 + 18.0 * static_cast<double>(c);
    svg += text_at(kWidth - kRight + 12, row, "fill=\"" + colour + "\"", curves[c].name);
  }
  return svg + "</svg>\n";
}

}  // namespace tools
