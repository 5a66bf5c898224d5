#include "tools/farm/dns_zones.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <functional>
#include <optional>
#include <span>

#include "engine/contract/address.h"

namespace sonde {
namespace {

absl::Status Bad(std::string_view what, std::string_view text) {
  return absl::InvalidArgumentError(std::string(what) + " '" + std::string(text) + "'");
}

template <typename Number>
bool ParseNumber(std::string_view text, Number* out, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out, base);
  return error == std::errc() && end == text.data() + text.size();
}

void AppendU16(std::string* out, uint16_t value) {
  out->push_back(static_cast<char>(value >> 8));
  out->push_back(static_cast<char>(value));
}

void AppendU32(std::string* out, uint32_t value) {
  AppendU16(out, static_cast<uint16_t>(value >> 16));
  AppendU16(out, static_cast<uint16_t>(value));
}

// What `\` begins at `*at`: `\DDD` or the character itself; *at moves behind it.
std::optional<char> Unescape(std::string_view text, size_t* at) {
  const std::string_view rest = text.substr(*at + 1);
  if (rest.empty()) return std::nullopt;
  if (!std::isdigit(static_cast<unsigned char>(rest[0]))) {
    *at += 2;
    return rest[0];
  }
  unsigned value = 0;
  if (rest.size() < 3 || !ParseNumber(rest.substr(0, 3), &value) || value > 255) {
    return std::nullopt;
  }
  *at += 4;
  return static_cast<char>(value);
}

// One word of a line as it was written, without its quotes.
struct Word {
  std::string_view text;
  bool quoted = false;
};

// Words between blanks; quotes hold blanks together; `;` begins a comment.
std::optional<std::vector<Word>> SplitWords(std::string_view line) {
  std::vector<Word> words;
  for (size_t at = 0; at < line.size();) {
    if (line[at] == ' ' || line[at] == '\t') {
      ++at;
      continue;
    }
    if (line[at] == ';') break;
    const bool quoted = line[at] == '"';
    const size_t start = quoted ? ++at : at;
    while (at < line.size() && (quoted ? line[at] != '"' : line[at] != ' ' && line[at] != '\t')) {
      at += line[at] == '\\' ? 2 : 1;
    }
    if (at > line.size() || (quoted && at == line.size())) return std::nullopt;
    words.push_back({line.substr(start, at - start), quoted});
    if (quoted) ++at;
  }
  return words;
}

using Words = std::span<const Word>;
// Appends a record's data; false when the words make none.
using Encode = bool (*)(Words words, std::string_view origin, std::string* out);

template <IpFamily kFamily, size_t kSize>
bool EncodeAddress(Words words, std::string_view, std::string* out) {
  const auto address = Address::ParseLiteral(words[0].text);
  if (!address || address->family != kFamily || address->scope != 0) return false;
  out->append(reinterpret_cast<const char*>(address->bytes.data()), kSize);
  return true;
}

bool EncodeName(Words words, std::string_view origin, std::string* out) {
  const auto name = FarmDnsNameFromText(words[0].text, origin);
  if (name.ok()) *out += *name;
  return name.ok();
}

// `kNumbers` 16-bit numbers, then a name: MX and SRV.
template <size_t kNumbers>
bool EncodeNumbersAndName(Words words, std::string_view origin, std::string* out) {
  for (size_t i = 0; i < kNumbers; ++i) {
    uint16_t number = 0;
    if (!ParseNumber(words[i].text, &number)) return false;
    AppendU16(out, number);
  }
  return EncodeName(words.subspan(kNumbers), origin, out);
}

bool EncodeSoa(Words words, std::string_view origin, std::string* out) {
  if (!EncodeName(words, origin, out) || !EncodeName(words.subspan(1), origin, out)) return false;
  for (const Word& word : words.subspan(2)) {
    uint32_t number = 0;
    if (!ParseNumber(word.text, &number)) return false;
    AppendU32(out, number);
  }
  return true;
}

bool EncodeTexts(Words words, std::string_view, std::string* out) {
  for (const Word& word : words) {
    std::string text;
    for (size_t at = 0; at < word.text.size();) {
      if (word.text[at] != '\\') {
        text += word.text[at++];
      } else if (const auto byte = Unescape(word.text, &at)) {
        text += *byte;
      } else {
        return false;
      }
    }
    if (text.size() > 255) return false;
    out->push_back(static_cast<char>(text.size()));
    *out += text;
  }
  return true;
}

// RFC 3597 section 5: `\# LENGTH HEX...`, for any type.
bool EncodeRaw(Words words, std::string* out) {
  size_t size = 0;
  if (words.size() < 2 || !ParseNumber(words[1].text, &size)) return false;
  std::string digits;
  for (const Word& word : words.subspan(2)) digits += word.text;
  if (digits.size() != size * 2) return false;
  for (size_t i = 0; i < digits.size(); i += 2) {
    uint8_t byte = 0;
    if (!ParseNumber(std::string_view(digits).substr(i, 2), &byte, 16)) return false;
    out->push_back(static_cast<char>(byte));
  }
  return true;
}

struct TypeRow {
  std::string_view word;
  uint16_t type;
  size_t least, most;  // words of its data
  Encode encode;
};
constexpr TypeRow kTypes[] = {
    {"A", kDnsA, 1, 1, EncodeAddress<IpFamily::kV4, 4>},
    {"AAAA", kDnsAaaa, 1, 1, EncodeAddress<IpFamily::kV6, 16>},
    {"NS", kDnsNs, 1, 1, EncodeName},
    {"CNAME", kDnsCname, 1, 1, EncodeName},
    {"PTR", kDnsPtr, 1, 1, EncodeName},
    {"MX", kDnsMx, 2, 2, EncodeNumbersAndName<1>},
    {"SRV", kDnsSrv, 4, 4, EncodeNumbersAndName<3>},
    {"TXT", kDnsTxt, 1, 1000, EncodeTexts},
    {"SOA", kDnsSoa, 7, 7, EncodeSoa},
};

const TypeRow* FindType(std::string_view word) {
  const auto row = std::find_if(std::begin(kTypes), std::end(kTypes),
                                [word](const TypeRow& of) { return of.word == word; });
  return row == std::end(kTypes) ? nullptr : row;
}

// "A", "TXT", or "TYPE65280".
std::optional<uint16_t> TypeNumber(std::string_view word) {
  if (const TypeRow* row = FindType(word)) return row->type;
  uint16_t number = 0;
  if (!word.starts_with("TYPE") || !ParseNumber(word.substr(4), &number)) return std::nullopt;
  return number == kDnsOpt || number == kDnsAny || number == 0 ? std::nullopt
                                                               : std::optional(number);
}

absl::StatusOr<std::string> EncodeData(std::string_view type, Words words,
                                       std::string_view origin) {
  std::string data;
  if (!words.empty() && !words[0].quoted && words[0].text == "\\#") {
    if (!EncodeRaw(words, &data)) return Bad("expected '\\# LENGTH HEX', of type", type);
  } else {
    const TypeRow* row = FindType(type);
    if (row == nullptr) return Bad("expected '\\# LENGTH HEX', of type", type);
    if (words.size() < row->least || words.size() > row->most ||
        !row->encode(words, origin, &data)) {
      return Bad("the data are none of type", type);
    }
  }
  if (data.size() > kDnsLargest - kDnsHeaderSize) return Bad("too much data, of type", type);
  return data;
}

// The name above: without the first label.
std::string_view Parent(std::string_view name) {
  return name.substr(1 + static_cast<unsigned char>(name[0]));
}

bool IsWithin(std::string_view name, std::string_view origin) {
  while (name != origin && name.size() > 1) name = Parent(name);
  return name == origin;
}

}  // namespace

absl::StatusOr<std::string> FarmDnsNameFromText(std::string_view text, std::string_view origin) {
  if (text == "@") return std::string(origin);
  if (text.empty()) return Bad("no name", text);
  std::string name, label;
  bool absolute = text == ".";
  for (size_t at = absolute ? 1 : 0; at < text.size();) {
    if (text[at] == '.') {
      if (label.empty()) return Bad("an empty label in", text);
      name += static_cast<char>(label.size()) + label;
      label.clear();
      absolute = ++at == text.size();
    } else if (text[at] == '\\') {
      const auto byte = Unescape(text, &at);
      if (!byte) return Bad("a bad escape in", text);
      label += *byte;
    } else {
      label += text[at++];
    }
    if (label.size() > kDnsLongestLabel) return Bad("a label of more than 63 bytes in", text);
  }
  if (!label.empty()) name += static_cast<char>(label.size()) + label;
  name += absolute ? std::string(1, '\0') : std::string(origin);
  if (name.size() > kDnsLongestName) return Bad("a name of more than 255 bytes:", text);
  return name;
}

std::string FarmDnsLowerCase(std::string_view name) {
  std::string lower(name);
  // Lengths are below 64, letters above: both can be walked over at once.
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  }
  return lower;
}

const FarmDnsRecordSet* FarmDnsZones::Node::Find(uint16_t type) const {
  for (const FarmDnsRecordSet& set : sets) {
    if (set.type == type) return &set;
  }
  return nullptr;
}

absl::Status FarmDnsZones::AddZone(std::string_view name, uint32_t ttl,
                                   const std::vector<std::string>& lines) {
  const auto parsed = FarmDnsNameFromText(name, std::string_view("\0", 1));
  if (!parsed.ok()) return parsed.status();
  const std::string origin = FarmDnsLowerCase(*parsed);
  if (const auto known = nodes_.find(origin); known != nodes_.end() && known->second.is_apex) {
    return Bad("a second zone", name);
  }
  nodes_[origin].is_apex = true;
  for (const std::string& line : lines) {
    const absl::Status status = AddRecord(line, origin, ttl);
    if (!status.ok()) {
      return absl::InvalidArgumentError("record '" + line + "': " + std::string(status.message()));
    }
  }
  if (nodes_[origin].Find(kDnsSoa) != nullptr) return absl::OkStatus();
  return AddRecord("@ SOA ns hostmaster 1 3600 600 86400 60", origin, ttl);
}

FarmDnsZones::Node& FarmDnsZones::NodeOf(const std::string& name, const std::string& origin) {
  for (std::string_view at = name; at != origin; at = Parent(at)) nodes_[std::string(at)];
  return nodes_[name];
}

// OWNER [TTL] [IN] TYPE DATA...
absl::Status FarmDnsZones::AddRecord(std::string_view line, const std::string& origin,
                                     uint32_t ttl) {
  const auto words = SplitWords(line);
  if (!words || words->size() < 2) return absl::InvalidArgumentError("expected NAME TYPE DATA");
  auto owner = FarmDnsNameFromText((*words)[0].text, origin);
  if (!owner.ok()) return owner.status();
  const std::string name = FarmDnsLowerCase(*owner);
  if (!IsWithin(name, origin)) return Bad("the zone does not hold", (*words)[0].text);
  Words rest = Words(*words).subspan(1);
  if (ParseNumber(rest[0].text, &ttl)) rest = rest.subspan(1);
  if (!rest.empty() && rest[0].text == "IN") rest = rest.subspan(1);
  if (rest.empty()) return absl::InvalidArgumentError("expected NAME TYPE DATA");
  const auto type = TypeNumber(rest[0].text);
  if (!type) return Bad("no type is called", rest[0].text);
  auto data = EncodeData(rest[0].text, rest.subspan(1), origin);
  if (!data.ok()) return data.status();
  std::vector<FarmDnsRecordSet>& sets = NodeOf(name, origin).sets;
  auto set = std::find_if(sets.begin(), sets.end(),
                          [&](const FarmDnsRecordSet& of) { return of.type == *type; });
  if (set == sets.end()) set = sets.insert(sets.end(), {*type, ttl, {}});
  set->ttl = ttl;
  set->data.push_back(std::move(*data));
  return absl::OkStatus();
}

FarmDnsZones::Result FarmDnsZones::Find(std::string_view name) const {
  const Node* closest = nullptr;
  std::string_view closest_name;
  for (std::string_view at = name;; at = Parent(at)) {
    const auto found = nodes_.find(at);
    if (found != nodes_.end()) {
      if (closest == nullptr) {
        closest = &found->second;
        closest_name = at;
      }
      if (found->second.is_apex) {
        const Node* const apex = &found->second;
        if (closest_name.size() == name.size()) return {Found::kName, closest, apex, at};
        // RFC 4592 section 3.3.1: the wildcard below the closest name there is.
        char wildcard[2 + kDnsLongestName] = {1, '*'};
        std::copy(closest_name.begin(), closest_name.end(), wildcard + 2);
        const auto any = nodes_.find(std::string_view(wildcard, 2 + closest_name.size()));
        if (any != nodes_.end()) return {Found::kName, &any->second, apex, at};
        return {Found::kNothing, nullptr, apex, at};
      }
    }
    if (at.size() <= 1) return {};
  }
}

}  // namespace sonde
