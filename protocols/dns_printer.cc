#include "protocols/dns_printer.h"

#include <algorithm>
#include <charconv>

#include "protocols/dns_message.h"
#include "protocols/dns_types.h"

namespace sonde {

void DnsPrinter::Number(uint64_t value, size_t width, int base) {
  if (!out_) return;
  char text[24];
  const char* const end = std::to_chars(text, std::end(text), value, base).ptr;
  const auto size = static_cast<size_t>(end - text);
  for (size_t i = size; i < width; ++i) Put('0');
  Put(std::string_view(text, size));
}

void DnsPrinter::Hex(Bytes bytes, bool upper) {
  if (!out_) return;
  const char* const digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  for (const uint8_t byte : bytes) {
    const char pair[2] = {digits[byte >> 4], digits[byte & 15]};
    Put(std::string_view(pair, 2));
  }
}

void DnsPrinter::Base64(Bytes bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t written = Digits(bytes, 6, kDigits); written % 4 != 0; ++written) Put('=');
}

void DnsPrinter::Base32Hex(Bytes bytes) { Digits(bytes, 5, "0123456789ABCDEFGHIJKLMNOPQRSTUV"); }

size_t DnsPrinter::Digits(Bytes bytes, unsigned bits, const char* digits) {
  if (!out_) return 0;
  uint32_t held = 0;
  unsigned count = 0;
  size_t written = 0;
  const auto put = [&](uint32_t value) {
    Put(digits[value & ((1u << bits) - 1)]);
    ++written;
  };
  for (const uint8_t byte : bytes) {
    held = (held & 0xff) << 8 | byte;
    for (count += 8; count >= bits; count -= bits) put(held >> (count - bits));
  }
  if (count > 0) put(held << (bits - count));
  return written;
}

void DnsPrinter::Escaped(Bytes bytes, std::string_view special) {
  if (!out_) return;
  for (const uint8_t byte : bytes) {
    const char c = static_cast<char>(byte);
    if (byte < ' ' || byte > '~') {
      Put('\\');
      Number(byte, 3);
    } else {
      if (special.find(c) != std::string_view::npos) Put('\\');
      Put(c);
    }
  }
}

void DnsPrinter::Quoted(Bytes bytes) {
  Put('"');
  Escaped(bytes, "\"\\");
  Put('"');
}

void DnsPrinter::Type(uint16_t number) {
  const DnsType* type = FindDnsType(number);
  Put(type ? type->name : "TYPE");
  if (!type) Number(number);
}

void DnsPrinter::Ipv4(Bytes bytes) {
  for (size_t i = 0; i < 4; ++i) {
    if (i > 0) Put('.');
    Number(bytes[i]);
  }
}

void DnsPrinter::Ipv6(Bytes bytes) {
  if (!out_) return;
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(std::begin(kMapped), std::end(kMapped), bytes.begin())) {
    Put("::ffff:");
    return Ipv4(bytes.subspan(12));
  }
  size_t begin = 8, length = 1;  // of the run
  for (size_t i = 0, run = 0; i < 8; ++i) {
    run = DnsNumber16(bytes, 2 * i) == 0 ? run + 1 : 0;
    if (run > length) {
      length = run;
      begin = i + 1 - run;
    }
  }
  for (size_t i = 0; i < 8; ++i) {
    if (i == begin) {
      Put("::");
      i += length - 1;
      continue;
    }
    if (i > 0 && i != begin + length) Put(':');
    Number(DnsNumber16(bytes, 2 * i), 0, 16);
  }
}

void DnsPrinter::Date(uint32_t seconds) {
  // Years from March on, so that the leap day is the last: 719468 days lie between 0000-03-01 and
  // 1970-01-01, and 146097 make 400 years.
  const uint32_t day = seconds / 86400 + 719468;
  const uint32_t of_era = day % 146097;
  const uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const uint32_t of_year = of_era - (365 * year + year / 4 - year / 100);
  const uint32_t month = (5 * of_year + 2) / 153;  // from March
  Number(day / 146097 * 400 + year + (month >= 10 ? 1 : 0), 4);
  Number(month < 10 ? month + 3 : month - 9, 2);
  Number(of_year - (153 * month + 2) / 5 + 1, 2);
  Number(seconds / 3600 % 24, 2);
  Number(seconds / 60 % 60, 2);
  Number(seconds % 60, 2);
}

}  // namespace sonde
