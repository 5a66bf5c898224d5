// Any Accept header gives one of our content types; any text becomes a label value a parser reads.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "exporter/negotiation.h"
#include "exporter/text_escape.h"

namespace {

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const sonde::Negotiated answer = sonde::NegotiateFormat(input);
  const bool open = answer.format == sonde::Format::kOpenMetrics;
  Require(StartsWith(answer.content_type, open ? "application/openmetrics-text; version="
                                               : "text/plain; version=0.0.4; charset=utf-8"));
  Require(answer.content_type.size() < 100);

  std::string value;
  sonde::AppendLabelValue(&value, input);
  bool escaped = false;
  for (size_t i = 0; i < value.size();) {
    const size_t length = sonde::Utf8Length(std::string_view(value).substr(i));
    Require(length > 0 && value[i] != '\n' && value[i] != '\0');
    if (escaped) {
      Require(value[i] == '\\' || value[i] == '"' || value[i] == 'n');
      escaped = false;
    } else {
      Require(value[i] != '"');
      escaped = value[i] == '\\';
    }
    i += length;
  }
  Require(!escaped);
  return 0;
}
