// The small grammars of header fields.
#include "protocols/http_words.h"

#include <algorithm>
#include <vector>

#include "engine/contract/scalar_text.h"
#include "protocols/url.h"

namespace sonde {
namespace {

struct Coding {
  std::string_view name;
  double quality = 1;
};

std::string_view TrimBlanks(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// "br;q=0.5"; a missing quality is 1, a bad one 0.
Coding ParseCoding(std::string_view text) {
  Coding coding;
  const size_t semicolon = text.find(';');
  coding.name = TrimBlanks(text.substr(0, semicolon));
  if (semicolon == std::string_view::npos) return coding;
  const std::string_view parameter = TrimBlanks(text.substr(semicolon + 1));
  if (!EqualsIgnoreCase(parameter.substr(0, 2), "q=")) return coding;
  coding.quality = ParseReal(parameter.substr(2)).value_or(0);
  return coding;
}

}  // namespace

bool IsHttpToken(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

bool IsHttpFieldValue(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

bool AcceptEncodingAllows(std::string_view accept_encoding, std::string_view compression) {
  std::vector<Coding> codings;
  while (true) {
    const size_t comma = accept_encoding.find(',');
    codings.push_back(ParseCoding(accept_encoding.substr(0, comma)));
    if (comma == std::string_view::npos) break;
    accept_encoding.remove_prefix(comma + 1);
  }
  std::stable_sort(codings.begin(), codings.end(),
                   [](const Coding& a, const Coding& b) { return a.quality > b.quality; });
  for (const Coding& coding : codings) {
    if (coding.name == "*" || EqualsIgnoreCase(coding.name, compression)) {
      return coding.quality > 0;
    }
  }
  return false;
}

}  // namespace sonde
