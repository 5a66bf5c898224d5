// Every protocol there is.
#pragma once

#include <span>
#include <string_view>

#include "engine/contract/task.h"

namespace sonde {

// One constant object per protocol, in alphabetical order. Any thread.
std::span<const Prober* const> Probers();

// Those, and the ones whose blocks are only read (later_probers.h): for readers of modules.
std::span<const Prober* const> SchemaProbers();

// "http" -> its prober, in any case of letters ("PING" reads as icmp); nullptr for a type there is
// not.
const Prober* FindProber(std::string_view name);

}  // namespace sonde
