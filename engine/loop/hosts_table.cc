#include "engine/loop/hosts_table.h"

#include <algorithm>
#include <optional>

namespace sonde {
namespace {

constexpr std::string_view kBlank = " \t\r\f\v";

// Cuts the next word off the front; empty at the end.
std::string_view NextWord(std::string_view* line) {
  const size_t begin = std::min(line->find_first_not_of(kBlank), line->size());
  const size_t end = std::min(line->find_first_of(kBlank, begin), line->size());
  const std::string_view word = line->substr(begin, end - begin);
  line->remove_prefix(end);
  return word;
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string Canonical(std::string_view word) {
  if (word.ends_with('.')) word.remove_suffix(1);
  std::string name(word);
  std::transform(name.begin(), name.end(), name.begin(), Lower);
  return name;
}

void Add(const Address& address, HostAddresses* to) {
  const bool v4 = address.family == IpFamily::kV4;
  Address& first = v4 ? to->first_v4 : to->first_v6;
  if (first.family == IpFamily::kNone) first = address;
  (v4 ? to->last_v4 : to->last_v6) = address;
}

}  // namespace

std::shared_ptr<const HostsTable> HostsTable::Parse(std::string_view text) {
  auto table = std::make_shared<HostsTable>();
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = line.substr(0, std::min(line.find('#'), line.size()));
    const std::optional<Address> address = Address::ParseLiteral(NextWord(&line));
    if (!address) continue;
    for (std::string_view word = NextWord(&line); !word.empty(); word = NextWord(&line)) {
      std::string name = Canonical(word);
      if (name.empty()) continue;
      if (table->names_.size() >= kMostNames && !table->names_.contains(name)) return table;
      Add(*address, &table->names_[std::move(name)]);
    }
  }
  return table;
}

const HostAddresses* HostsTable::Find(std::string_view name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : &found->second;
}

}  // namespace sonde
