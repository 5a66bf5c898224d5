// Which status codes of a response are good.
#pragma once

#include <bitset>
#include <string>
#include <string_view>

#include "engine/contract/config_node.h"

namespace sonde {

// Codes 100 to 999. Immutable after parsing; any thread.
class StatusSet {
 public:
  bool empty() const { return codes_.none(); }
  bool Has(unsigned code) const { return code < codes_.size() && codes_.test(code); }

  // Adds `200`, `2xx` or `200-299`; false for anything else.
  bool Add(std::string_view text);

  // A number, a class or a range, or a list of those. Errors go to the key's place.
  static bool Read(ConfigReader& in, std::string_view key, StatusSet* out);

  // "200-299": the default of a module that lists none.
  static StatusSet Success();

 private:
  void AddRange(unsigned first, unsigned last);
  std::bitset<1000> codes_;
};

}  // namespace sonde
