#include "exporter/http_encoding.h"

#include <optional>

#include "exporter/http_text.h"

namespace sonde {
namespace {

// A qvalue in thousandths (RFC 9110 section 12.4.2): "0.5", "1", "1.000"; 0 for nonsense.
int ParseQuality(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return 0;
  int value = (text[0] - '0') * 1000;
  if (text.size() > 1 && text[1] != '.') return 0;
  int scale = 100;
  for (size_t i = 2; i < text.size(); ++i, scale /= 10) {
    if (text[i] < '0' || text[i] > '9') return 0;
    value += (text[i] - '0') * scale;
  }
  return value > 1000 ? 0 : value;
}

int QualityOf(std::string_view parameters) {
  while (!parameters.empty()) {
    const size_t semicolon = parameters.find(';');
    const std::string_view parameter = TrimBlanks(parameters.substr(0, semicolon));
    parameters =
        semicolon == std::string_view::npos ? std::string_view() : parameters.substr(semicolon + 1);
    if (parameter.size() >= 2 && (parameter[0] == 'q' || parameter[0] == 'Q') &&
        parameter[1] == '=') {
      return ParseQuality(parameter.substr(2));
    }
  }
  return 1000;
}

}  // namespace

bool PrefersGzip(std::string_view accept_encoding) {
  std::optional<int> gzip, identity, any;
  while (const auto element = NextListElement(accept_encoding)) {
    const size_t semicolon = element->find(';');
    const std::string_view coding = TrimBlanks(element->substr(0, semicolon));
    const int quality =
        semicolon == std::string_view::npos ? 1000 : QualityOf(element->substr(semicolon + 1));
    if (EqualsIgnoringCase(coding, "gzip") || EqualsIgnoringCase(coding, "x-gzip")) {
      gzip = quality;
    } else if (EqualsIgnoringCase(coding, "identity")) {
      identity = quality;
    } else if (coding == "*") {
      any = quality;
    }
  }
  const int taken = gzip.value_or(any.value_or(0));
  return taken > 0 && taken >= identity.value_or(0);
}

}  // namespace sonde
