// Any Accept header gives one of our content types; any text becomes a label value a parser reads,
// in the text formats and in protocol buffers.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "exporter/exposition.h"
#include "exporter/negotiation.h"
#include "exporter/protobuf_families.h"
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
  constexpr std::string_view kTypes[] = {
      "text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=",
      "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
      "encoding=delimited"};
  Require(StartsWith(answer.content_type, kTypes[static_cast<size_t>(answer.format)]));
  Require(answer.content_type.size() < 120);

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

  // The same value in protocol buffers: one pair, a{length, name, length, value}, unescaped.
  std::string labels, pairs, plain;
  sonde::AppendLabel(&labels, "a", input);
  sonde::AppendLabelPairs(&pairs, labels);
  sonde::AppendUtf8(&plain, input);
  Require(pairs.size() > plain.size() && std::string_view(pairs).ends_with(plain));
  Require(plain.size() > 100 || pairs.size() == 7 + plain.size());
  return 0;
}
