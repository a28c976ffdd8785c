#include "tools/bench_rewards/page.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>

#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "tools/bench_rewards/assets.hpp"
#include "tools/cli/version.hpp"
#include "tools/gallery/page.hpp"
#include "tools/gallery/pictures.hpp"

namespace tools {
namespace {

using gallery::html_escaped;

// The value, its interval in small type, and both as a line from 0 to 100 %.
std::string share_cell(const rewards::Interval& share) {
  constexpr double kWidth = 100, kEdge = 5;  // of the drawing
  const auto x = [&](double value) { return kEdge + kWidth * value; };
  return data::formatted("<td>%.1f <small>%.1f to %.1f</small>", 100 * share.value, 100 * share.low,
                         100 * share.high) +
         data::formatted(
             "<svg class=\"plot\" viewBox=\"0 0 110 12\" aria-hidden=\"true\">"
             "<line class=\"all\" x1=\"5\" x2=\"105\" y1=\"6\" y2=\"6\"/>"
             "<line class=\"interval\" x1=\"%.1f\" x2=\"%.1f\" y1=\"6\" y2=\"6\"/>"
             "<circle class=\"value\" cx=\"%.1f\" cy=\"6\" r=\"3.5\"/></svg></td>",
             x(share.low), x(share.high), x(share.value));
}

std::string count_cell(int64_t count) { return "<td>" + std::to_string(count) + "</td>"; }

std::string figure_row(const std::string& name, const rewards::OneToMany& figures) {
  return "<tr><td>" + html_escaped(name) + "</td>" + count_cell(figures.items) +
         count_cell(figures.ties) + share_cell(figures.one_to_one) +
         share_cell(figures.one_to_many) + share_cell(figures.reciprocal_rank) + "</tr>\n";
}

std::string figure_table(const std::string& first, const std::string& rows) {
  return "<div class=\"wide\"><table><thead><tr><th>" + first +
         "</th><th>items</th><th>ties</th><th>one to one, %</th><th>one to many, %</th>"
         "<th>reciprocal rank, %</th></tr></thead><tbody>\n" +
         rows + "</tbody></table></div>\n";
}

std::string wordings_table(const std::vector<VariantFigures>& variants) {
  if (variants.empty()) return "";
  std::string rows;
  for (const auto& variant : variants)
    rows += "<tr><td>" + html_escaped(variant.name) + "</td>" + count_cell(variant.wordings.items) +
            share_cell(variant.wordings.survives) +
            data::formatted("<td>%.3f <small>%.3f to %.3f</small></td></tr>\n",
                            variant.wordings.deviation.value, variant.wordings.deviation.low,
                            variant.wordings.deviation.high);
  return "<h3>The prompt in other words</h3>\n<div class=\"wide\"><table><thead><tr><th>words</th>"
         "<th>items</th><th>ranking survives, %</th><th>deviation over wordings, of that over "
         "pictures</th></tr></thead><tbody>\n" +
         rows + "</tbody></table></div>\n";
}

std::string probes_table(const RewardFigures& figures) {
  if (figures.robustness.empty() && figures.hacking.empty()) return "";
  std::string rows;
  const auto add = [&](const std::vector<rewards::RobustnessProbe>& probes, const char* kind) {
    for (const auto& probe : probes)
      rows += "<tr><td>" + html_escaped(probe.name) + "</td><td>" + kind +
              data::formatted("</td><td>%+.2f</td><td>%.0f %%</td></tr>\n", probe.change,
                              100 * probe.above);
  };
  add(figures.robustness, "should not matter");
  add(figures.hacking, "should not pay");
  return "<h3>Changed pictures</h3>\n<div class=\"wide\"><table><thead><tr><th>change</th><th></th>"
         "<th>mean change, deviations</th><th>scores higher</th></tr></thead><tbody>\n" +
         rows + "</tbody></table></div>\n";
}

std::string image_html(const gallery::Picture& picture) {
  if (!picture.fault.empty())
    return "<div class=\"missing\">" + html_escaped(picture.fault) + "</div>";
  const std::string kind = picture.line[0] == 'p' ? "png" : "jpeg";
  return "<img alt=\"\" src=\"data:image/" + kind + ";base64," + picture.line.substr(1) + "\">";
}

// scores: the right picture's first
std::string item_html(const BenchItem& item, const std::vector<double>& scores) {
  gallery::Collection pictures;
  pictures.images.push_back({.path = item.right, .file = {}, .record = {}});
  for (const auto& wrong : item.wrong)
    pictures.images.push_back({.path = wrong, .file = {}, .record = {}});
  const auto made = gallery::make_pictures(pictures, {.thumbnail = 192});
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  std::string html = "<div class=\"item\"><p class=\"prompt\">" + html_escaped(item.prompt);
  for (const auto& slice : item.slices)
    html += "<span class=\"tag\">" + html_escaped(slice) + "</span>";
  html += "</p><div class=\"pictures\">\n";
  for (const size_t k : order) {
    const char* kind = k == 0 ? "right" : scores[k] >= scores[0] ? "above" : "below";
    const std::string what = k == 0                 ? "right"
                             : item.changes.empty() ? "wrong"
                                                    : "wrong: " + item.changes[k - 1];
    html += data::formatted("<figure class=\"%s\">", kind) + image_html(made[k]) + "<figcaption>" +
            html_escaped(what) + data::formatted("<br>%.5g", scores[k]) +
            "</figcaption></figure>\n";
  }
  return html + "</div></div>\n";
}

std::string reward_html(const std::vector<BenchItem>& items, const BenchedReward& reward) {
  const auto& figures = reward.figures;
  std::string rows;
  for (const auto& slice : figures.slices) rows += figure_row(slice.name, slice.figures);
  for (const auto& variant : figures.variants)
    rows += figure_row("in words: " + variant.name, variant.figures);
  std::string html = "<section>\n<h2>" + html_escaped(figures.name) + "</h2>\n" +
                     figure_table("slice", rows) + wordings_table(figures.variants) +
                     probes_table(figures);
  if (reward.worst_scores.empty())
    return html +
           "<p class=\"note\">No item's right picture is below or beside a wrong one.</p>\n"
           "</section>\n";
  html +=
      data::formatted("<h3>The worst %zu of %zu items whose right picture is not above all</h3>\n",
                      reward.worst_scores.size(), figures.worst.size());
  for (size_t i = 0; i < reward.worst_scores.size(); ++i)
    html += item_html(items[figures.worst[i]], reward.worst_scores[i]);
  return html + "</section>\n";
}

std::string overview(const std::vector<BenchedReward>& rewards) {
  std::string rows;
  for (const auto& reward : rewards) {
    if (!reward.figures.slices.empty())
      rows += figure_row(reward.figures.name, reward.figures.slices.front().figures);
  }
  return "<h1>Rewards on right and wrong pictures</h1>\n<p class=\"note\">One to one: the share of "
         "wrong pictures that score below the right one, ties a half. One to many: the share of "
         "items whose right picture scores above all wrong ones. Intervals are 95 %, by a "
         "bootstrap over prompts.</p>\n" +
         figure_table("reward", rows);
}

}  // namespace

void write_bench_page(const std::filesystem::path& output,
                      const std::vector<BenchItem>& items,
                      const std::vector<BenchedReward>& rewards) {
  data::write_file_in_pieces(output, [&](const data::Append& append) {
    const auto put = [&](std::string_view text) { append(text.data(), text.size()); };
    std::string_view rest = bench_rewards::kPage_html;
    const auto put_until = [&](std::string_view place) {
      const size_t found = rest.find(place);
      put(rest.substr(0, found));
      rest.remove_prefix(found + place.size());
    };
    put_until("{{version}}");
    put(html_escaped(kVersion));
    put_until("{{style}}");
    put(bench_rewards::kPage_style);
    put_until("{{body}}");
    put(overview(rewards));
    for (const auto& reward : rewards) put(reward_html(items, reward));
    put(rest);
  });
}

}  // namespace tools
