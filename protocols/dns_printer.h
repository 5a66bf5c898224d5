// The small change of zone files (RFC 1035 section 5.1, RFC 4034, RFC 5952): numbers, digits,
// addresses, dates, escapes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/contract/conversation.h"

namespace sonde {

// Appends to a buffer; without one it goes nowhere, so that the same code checks and prints.
class DnsPrinter {
 public:
  explicit DnsPrinter(Buffer* out) : out_(out) {}

  bool on() const { return out_ != nullptr; }
  void Put(std::string_view text) {
    if (out_) out_->Append(text);
  }
  void Put(char c) { Put(std::string_view(&c, 1)); }

  // Decimal (or another base), with zeros in front up to `width`.
  void Number(uint64_t value, size_t width = 0, int base = 10);
  void Hex(Bytes bytes, bool upper);
  void Base64(Bytes bytes);
  void Base32Hex(Bytes bytes);  // RFC 4648 section 7, without padding
  // `special` get a backslash, what is not printable ASCII becomes \DDD.
  void Escaped(Bytes bytes, std::string_view special);
  void Quoted(Bytes bytes);
  void Type(uint16_t number);  // A, TYPE65280
  void Ipv4(Bytes bytes);      // four of them
  // Sixteen. As Go prints it: the longest run of two or more zero groups is `::`, and only
  // addresses mapped from IPv4 show dots.
  void Ipv6(Bytes bytes);
  void Date(uint32_t seconds);  // since 1970: YYYYMMDDHHMMSS

 private:
  // Digits of `bits` bits each, from the left. Returns how many.
  size_t Digits(Bytes bytes, unsigned bits, const char* digits);

  Buffer* out_;
};

}  // namespace sonde
