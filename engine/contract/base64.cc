#include "engine/contract/base64.h"

#include <cstdint>

namespace sonde {
namespace {

int Sextet(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

}  // namespace

std::optional<std::string> DecodeBase64(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int filled = 0, padding = 0;  // of the current group of four
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') continue;
    if (c == '=') {
      if (filled + padding < 2 || ++padding + filled > 4) return std::nullopt;
      continue;
    }
    const int sextet = Sextet(c);
    if (sextet < 0 || padding > 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(sextet);
    if (++filled < 4) continue;
    for (const int shift : {16, 8, 0}) out.push_back(static_cast<char>(bits >> shift & 0xff));
    bits = 0;
    filled = 0;
  }
  if (filled == 0 && padding == 0) return out;
  if (filled + padding != 4) return std::nullopt;
  const int unused = filled == 2 ? 4 : 2;
  if ((bits & ((1u << unused) - 1)) != 0) return std::nullopt;
  bits >>= unused;
  if (filled == 3) out.push_back(static_cast<char>(bits >> 8 & 0xff));
  out.push_back(static_cast<char>(bits & 0xff));
  return out;
}

}  // namespace sonde
