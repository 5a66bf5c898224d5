// Every protocol there is.
#pragma once

#include <span>
#include <string_view>

#include "engine/contract/task.h"

namespace sonde {

// One constant object per protocol, in alphabetical order. Any thread.
std::span<const Prober* const> Probers();

// "http" -> its prober, in any case of letters ("PING" reads as icmp); nullptr for a type there is
// not.
const Prober* FindProber(std::string_view name);

}  // namespace sonde
