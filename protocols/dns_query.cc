#include "protocols/dns_query.h"

#include "protocols/dns_message.h"
#include "protocols/dns_types.h"

namespace sonde {
namespace {

constexpr size_t kLabelBytes = 63;

void Append16(uint16_t number, std::string* out) {
  out->push_back(static_cast<char>(number >> 8));
  out->push_back(static_cast<char>(number & 0xff));
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// What a backslash and `rest` stand for; returns how many bytes of `rest` it takes, 0 for an error.
size_t Unescape(std::string_view rest, char* out) {
  if (rest.empty()) return 0;
  if (!IsDigit(rest[0])) {
    *out = rest[0];
    return 1;
  }
  if (rest.size() < 3 || !IsDigit(rest[1]) || !IsDigit(rest[2])) return 0;
  const int number = (rest[0] - '0') * 100 + (rest[1] - '0') * 10 + (rest[2] - '0');
  *out = static_cast<char>(number);
  return number < 256 ? 3 : 0;
}

}  // namespace

bool ParseDnsName(std::string_view text, std::string* wire, std::string* error) {
  wire->clear();
  std::string label;
  const auto end_label = [&] {
    if (label.empty()) *error = "a name has no empty labels";
    if (label.size() > kLabelBytes) *error = "a label has at most 63 bytes";
    if (label.empty() || label.size() > kLabelBytes) return false;
    wire->push_back(static_cast<char>(label.size()));
    wire->append(label);
    label.clear();
    return true;
  };
  if (text == ".") text = {};
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '.') {
      if (!end_label()) return false;
      continue;
    }
    if (c == '\\') {
      const size_t taken = Unescape(text.substr(i + 1), &c);
      if (taken == 0) {
        *error = "a backslash is followed by a character or by three digits up to 255";
        return false;
      }
      i += taken;
    }
    label.push_back(c);
  }
  if (!label.empty() && !end_label()) return false;
  wire->push_back('\0');
  if (wire->size() > kDnsNameBytes) *error = "a name has at most 255 bytes";
  return wire->size() <= kDnsNameBytes;
}

std::string ReverseDnsName(const Address& address) {
  std::string name;
  if (address.family == IpFamily::kV4) {
    for (size_t i = 4; i-- > 0;) name += std::to_string(address.bytes[i]) + ".";
    return name + "in-addr.arpa.";
  }
  static constexpr char kDigits[] = "0123456789abcdef";
  for (size_t i = 16; i-- > 0;) {
    name += {kDigits[address.bytes[i] & 15], '.', kDigits[address.bytes[i] >> 4], '.'};
  }
  return name + "ip6.arpa.";
}

std::string DnsQuestion(std::string_view wire_name, uint16_t type, uint16_t klass) {
  std::string question(wire_name);
  Append16(type, &question);
  Append16(klass, &question);
  return question;
}

std::string DnsQueryAfterId(const DnsQuery& query) {
  std::string out;
  const bool edns = query.edns_size != 0;
  Append16(query.recursion_desired ? dns_flag::kRecursionDesired : 0, &out);
  Append16(1, &out);  // questions
  Append16(0, &out);
  Append16(0, &out);
  Append16(edns ? 1 : 0, &out);
  out += query.question;
  if (!edns) return out;
  out.push_back('\0');  // the root
  Append16(kDnsTypeOpt, &out);
  Append16(query.edns_size, &out);
  Append16(0, &out);  // extended code and version
  Append16(query.dnssec_ok ? 0x8000 : 0, &out);
  Append16(0, &out);
  return out;
}

}  // namespace sonde
