// The words of a configuration: what counts as a bool, a number, a size. Pure functions, any
// thread. ConfigReader and the YAML decoder use them; so may any other reader of text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sonde {

// YAML 1.1: true/false, yes/no, on/off, y/n in lower, upper and title case.
std::optional<bool> ParseBoolWord(std::string_view text);
// YAML 1.1: ~, null (lower, upper, title case) and nothing at all.
bool IsNullWord(std::string_view text);
// Decimal, 0x, 0o, 0b and a leading 0 (octal), an optional sign, `_` between digits; also whole
// numbers written as floats ("2e2"). nullopt for anything else or beyond 64 bits.
std::optional<int64_t> ParseInteger(std::string_view text);
// What ParseInteger takes, decimal fractions, exponents, `.inf`, `.nan`.
std::optional<double> ParseReal(std::string_view text);
// "10KB", "1.5MiB", "1GiB512MiB": powers of 1024, case-sensitive; a bare 0. Negative reads as 0
// (blackbox_contract 4.2: both mean no limit).
std::optional<int64_t> ParseSize(std::string_view text);

// Text for a message: in single quotes, control bytes escaped, shortened when long.
std::string Quote(std::string_view text);
// " (did you mean 'x'?)" when one of the candidates is near, else "".
std::string Suggestion(std::string_view wrong, std::span<const std::string_view> candidates);

// Well-formed UTF-8 by RFC 3629 section 4 (no surrogates, no overlong forms).
bool IsUtf8(std::string_view text);

}  // namespace sonde
