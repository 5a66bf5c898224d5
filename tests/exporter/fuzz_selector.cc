// Any text is a selector or an error with a place; a selector never fits the empty label set, reads
// the same again when its parts are written in the other kinds of quotes, and chooses nothing but
// whole lines.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "exporter/federate_page.h"
#include "exporter/selector.h"
#include "tests/exporter/sample_fleet.h"

namespace {

using sonde::LabelMatcher;
using sonde::Selector;

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

// Every byte as an escape: \ooo.
std::string Escaped(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    out.push_back('\\');
    for (const int shift : {6, 3, 0}) out.push_back(static_cast<char>('0' + ((byte >> shift) & 7)));
  }
  return out + "\"";
}

std::string Written(const Selector& selector) {
  constexpr std::string_view kOps[] = {"=", "!=", "=~", "!~"};
  std::string out = "{";
  for (const LabelMatcher& matcher : selector) {
    out.append(Escaped(matcher.name())).append(kOps[static_cast<size_t>(matcher.op())]);
    out.append(Escaped(matcher.value())).append(",");
  }
  return out + "}";
}

void RequirePlace(std::string_view message) {
  const size_t colon = message.find(':');
  Require(colon != std::string_view::npos && colon > 0);
  for (const char c : message.substr(0, colon)) Require(c >= '0' && c <= '9');
  Require(message.find(": parse error: ", colon + 1) != std::string_view::npos);
}

const sonde::Catalog& Fleet() {
  static const auto* const fleet = [] {
    auto* catalog = std::make_unique<sonde::Catalog>().release();
    sonde::FillSampleCatalog(catalog);
    return catalog;
  }();
  return *fleet;
}

void RequireLines(const Selector& selector) {
  sonde::FederatePage page(Fleet().Snapshot(), {selector}, {{"region", "eu"}}, sonde::kSampleNow,
                           nullptr);
  std::string body;
  for (int i = 0; page.Next(body) == sonde::BodyStep::kMore; ++i) Require(i < 1000);
  Require(body.empty() || (body.starts_with("# TYPE ") && body.ends_with("\n")));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto selector = sonde::ParseSelector(input);
  if (!selector.ok()) {
    RequirePlace({selector.status().message().data(), selector.status().message().size()});
    return 0;
  }
  bool refuses_empty = false;
  for (const LabelMatcher& matcher : *selector) refuses_empty |= !matcher.Matches("");
  Require(refuses_empty);
  const std::string written = Written(*selector);
  if (written.size() <= sonde::SelectorLimits::kBytes) {
    const auto again = sonde::ParseSelector(written);
    Require(again.ok() && again->size() == selector->size() && Written(*again) == written);
  }
  RequireLines(*selector);
  return 0;
}
