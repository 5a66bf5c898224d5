#include "engine/contract/task.h"

#include "engine/contract/siphash.h"

namespace sonde {

// The key is part of what users see (phases of file tasks follow from it): never change it.
uint64_t TaskIdOf(std::string_view name) {
  const uint64_t id = SipHash24(0x736f6e64652e6964u, 0x7461736b206e616du, name);
  return id == 0 ? 1 : id;
}

}  // namespace sonde
