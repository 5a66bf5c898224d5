// /etc/hosts, parsed. An immutable value: made off the shards' threads, shared by all of them.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/contract/address.h"

namespace sonde {

// The addresses of one name, as far as choosing ever needs them. Family kNone: none of that kind.
struct HostAddresses {
  Address first_v4, last_v4;
  Address first_v6, last_v6;
};

class HostsTable {
 public:
  // hosts(5): address, then names, `#` comments. Lines that make no sense are passed over; several
  // lines of one name add up. At most kMostNames names are kept.
  static std::shared_ptr<const HostsTable> Parse(std::string_view text);

  // `name` in lower case, without a trailing dot. Null when the file does not have it.
  const HostAddresses* Find(std::string_view name) const;
  size_t size() const { return names_.size(); }

  static constexpr size_t kMostNames = 200'000;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, HostAddresses, Hash, std::equal_to<>> names_;
};

}  // namespace sonde
