#include "tools/gallery/page.hpp"

#include <map>
#include <nlohmann/json.hpp>

#include "data/base/base64.hpp"
#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "tools/gallery/assets.hpp"

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace gallery {
namespace {

constexpr size_t kPackSize =
    128;  // pictures per script element, which is decoded when one of them is first shown

// Distinct texts in order of first appearance.
struct Index {
  ordered_json texts = ordered_json::array();
  std::map<std::string, int64_t> places;
  int64_t of(const std::string& text) {
    if (text.empty()) return -1;
    const auto [place, added] = places.try_emplace(text, static_cast<int64_t>(texts.size()));
    if (added) texts.push_back(text);
    return place->second;
  }
};

template <class T>
ordered_json or_null(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json runs_json(const Collection& all) {
  auto runs = ordered_json::array();
  for (const auto& run : all.runs) {
    auto verdicts = ordered_json::array();
    for (const auto& verdict : run.verdicts) verdicts.push_back(data::parse_ordered_json(verdict));
    runs.push_back(
        {{"name", run.name},
         {"path", run.path.generic_string()},
         {"synthetic", run.synthetic},
         {"info", run.info.empty() ? ordered_json(nullptr) : data::parse_ordered_json(run.info)},
         {"config", run.config.empty() ? ordered_json(nullptr) : ordered_json(run.config)},
         {"guard", verdicts},
         {"warnings", run.warnings}});
  }
  return runs;
}

ordered_json sets_json(const Collection& all) {
  auto sets = ordered_json::array();
  for (const auto& set : all.sets) {
    sets.push_back({{"run", set.run}, {"name", set.name}, {"step", or_null(set.step)}});
  }
  return sets;
}

ordered_json items_json(const Collection& all, Index& prompts) {
  ordered_json columns{{"key", ordered_json::array()},
                       {"prompt", ordered_json::array()},
                       {"split", ordered_json::array()},
                       {"seed", ordered_json::array()}};
  for (const auto& item : all.items) {
    columns["key"].push_back(item.key);
    columns["prompt"].push_back(prompts.of(item.prompt));
    columns["split"].push_back(item.split);
    columns["seed"].push_back(or_null(item.seed));
  }
  return columns;
}

// A file's path as a relative URL: bytes with a meaning in URLs are percent-encoded.
std::string relative_url(const fs::path& file, const fs::path& page) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  const fs::path folder = fs::absolute(page).lexically_normal().parent_path();
  const std::string path =
      fs::absolute(file).lexically_normal().lexically_relative(folder).generic_string();
  std::string url;
  for (const char letter : path) {
    const auto byte = static_cast<unsigned char>(letter);
    if (std::isalnum(byte) || std::string_view("/._-~").find(letter) != std::string_view::npos) {
      url += letter;
    } else {
      url += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return url;
}

ordered_json images_json(const Collection& all,
                         const std::vector<Picture>& pictures,
                         const PageOptions& options,
                         Index& settings) {
  ordered_json columns;
  for (const char* name : {"set", "item", "file", "width", "height", "settings"}) {
    columns[name] = ordered_json::array();
  }
  for (size_t k = 0; k < all.images.size(); ++k) {
    const Image& image = all.images[k];
    columns["set"].push_back(image.set);
    columns["item"].push_back(image.item);
    columns["file"].push_back(image.file);
    columns["width"].push_back(pictures[k].width);
    columns["height"].push_back(pictures[k].height);
    columns["settings"].push_back(settings.of(image.record.settings));
    if (options.link) columns["full"].push_back(relative_url(image.path, options.output));
  }
  return columns;
}

// {"aesthetic": [5.1, null, ...]}: one value per image.
ordered_json scores_json(const Collection& all) {
  auto scores = ordered_json::object();
  for (size_t k = 0; k < all.images.size(); ++k) {
    for (const auto& [name, value] : all.images[k].record.rewards) {
      auto& column = scores[name];
      while (column.size() < k) column.push_back(nullptr);
      column.push_back(value);
    }
  }
  return scores;
}

ordered_json metrics_json(const Collection& all) {
  auto metrics = ordered_json::array();
  for (size_t run = 0; run < all.runs.size(); ++run) {
    for (const auto& series : all.runs[run].metrics) {
      auto values = ordered_json::array();
      for (const auto& value : series.values) values.push_back(or_null(value));
      metrics.push_back(
          {{"run", run}, {"name", series.name}, {"steps", series.steps}, {"values", values}});
    }
  }
  return metrics;
}

std::string title_of(const Collection& all, const PageOptions& options) {
  if (!options.title.empty()) return options.title;
  std::string title;
  for (const auto& run : all.runs) title += (title.empty() ? "" : ", ") + run.name;
  return title;
}

// Allows only this page's script and style. Nothing is loaded except, with `link`, the image files.
std::string security_policy(bool link) {
  return std::string("default-src 'none'; img-src data: blob:") + (link ? " 'self' file:" : "") +
         "; style-src 'sha256-" + data::base64(data::from_hex(kPage_style_hash)) +
         "'; script-src 'sha256-" + data::base64(data::from_hex(kPage_script_hash)) +
         "'; base-uri 'none'; form-action 'none'";
}

void append_packs(const std::vector<Picture>& pictures, const data::Append& append) {
  const auto put = [&](std::string_view text) { append(text.data(), text.size()); };
  for (size_t k = 0; k < pictures.size(); ++k) {
    if (k % kPackSize == 0) {
      put("<script type=\"text/plain\" id=\"pack-" + std::to_string(k / kPackSize) + "\">\n");
    }
    put(pictures[k].line);
    put("\n");
    if ((k + 1) % kPackSize == 0 || k + 1 == pictures.size()) put("</script>\n");
  }
}

}  // namespace

void drop_unreadable(Collection& all, std::vector<Picture>& pictures) {
  size_t kept = 0;
  for (size_t k = 0; k < pictures.size(); ++k) {
    if (!pictures[k].fault.empty()) {
      all.runs[all.sets[all.images[k].set].run].warnings.push_back(pictures[k].fault + "; omitted");
      continue;
    }
    if (kept != k) {
      all.images[kept] = std::move(all.images[k]);
      pictures[kept] = std::move(pictures[k]);
    }
    ++kept;
  }
  if (kept == 0) throw data::BadInput(pictures.front().fault + " (and no other image can be read)");
  all.images.resize(kept);
  pictures.resize(kept);
}

std::string html_escaped(const std::string& text) {
  std::string escaped;
  for (const char letter : text) {
    switch (letter) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += letter;
    }
  }
  return escaped;
}

std::string page_data(const Collection& all,
                      const std::vector<Picture>& pictures,
                      const PageOptions& options) {
  Index prompts, settings;
  ordered_json data;
  data["laurel"] = options.version;
  data["title"] = title_of(all, options);
  data["created"] = options.created;
  data["smooth"] = options.smooth;
  data["pack_size"] = kPackSize;
  data["identity"] = title_of(all, options) + "/" + std::to_string(all.images.size());
  data["runs"] = runs_json(all);
  data["sets"] = sets_json(all);
  data["items"] = items_json(all, prompts);
  data["prompts"] = prompts.texts;
  data["images"] = images_json(all, pictures, options, settings);
  data["settings"] = settings.texts;
  data["scores"] = scores_json(all);
  data["rewards"] = ordered_json::array();
  for (const auto& [name, column] : data["scores"].items()) data["rewards"].push_back(name);
  data["metrics"] = metrics_json(all);

  std::string text;
  for (const char letter : data::to_text(data)) {
    if (letter == '<') {
      text += "\\u003c";
    } else {
      text += letter;
    }
  }
  return text;
}

void write_page(const Collection& all,
                const std::vector<Picture>& pictures,
                const PageOptions& options) {
  const std::string data_text = page_data(all, pictures, options);
  const std::map<std::string_view, std::string> parts{
      {"policy", security_policy(options.link)},       {"version", html_escaped(options.version)},
      {"title", html_escaped(title_of(all, options))}, {"style", std::string(kPage_style)},
      {"script", std::string(kPage_script)},           {"data", data_text}};
  data::write_file_in_pieces(options.output, [&](const data::Append& append) {
    std::string_view rest = kPage_html;
    for (size_t open = rest.find("{{"); open != std::string_view::npos; open = rest.find("{{")) {
      const size_t close = rest.find("}}", open);
      const std::string_view name = rest.substr(open + 2, close - open - 2);
      append(rest.data(), open);
      if (name == "packs") {
        append_packs(pictures, append);
      } else {
        append(parts.at(name).data(), parts.at(name).size());
      }
      rest.remove_prefix(close + 2);
    }
    append(rest.data(), rest.size());
  });
}

}  // namespace gallery
