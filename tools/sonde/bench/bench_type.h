// The kinds of probes `sonde bench` knows, as a table: another kind is another row.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/contract/task.h"

namespace sonde {

struct BenchType {
  std::string_view name;      // of --types and in JSON
  std::string_view title;     // for people
  std::string_view prober;    // the task's `type`
  std::string_view options;   // the prober's block; CA stands for the farm's authority
  std::string_view target;    // AT and PORT stand for an address of the farm's and its port
  std::string_view listener;  // the farm's flag for it; "": needs none, the kernel answers
  // A listener and options that keep a probe in flight; "": the same as above.
  std::string_view silent_listener;
  std::string_view silent_options;
  double first_rate = 100;  // what a search warms up with, per second
  int round_trips = 1;      // a probe takes to a target that answers at once
  bool usual = true;        // benched unless --types says otherwise
  bool stream = true;       // has a socket of its own
  bool handshake = false;   // TLS on the first leg
  bool resumes = false;     // nearly all of these resume a session
  bool keeps = false;       // the runs of a task share a connection
  // Between two runs of a task, at most; 0: as asked for. Tasks that hold a connection each want
  // few of them.
  Duration interval{};
  // Tells a task of this row from those of the row alike in prober, stream and handshake; null:
  // this is the usual one.
  bool (*is)(const Task&) = nullptr;
};

std::span<const BenchType> BenchTypes();
const BenchType* FindBenchType(std::string_view name);
// The row a task of a file costs as much as: by its prober, TLS and transport. Never null for a
// usable prober.
const BenchType* BenchTypeOf(const Task& task);

// A place of the farm for target `number`: every one an address of its own in 127/8, so that local
// ports never run out; 127.0.0.x stays free. Repeats after 7 million.
std::string FarmAddress(size_t number);
// `type.target` with its words filled in.
std::string FarmTarget(const BenchType& type, size_t number, int port);

// A type's options, or its silent ones, as the YAML of the prober's block. `authority`: of the
// farm's certificates, a path.
std::string BenchBlock(std::string_view options, const std::string& authority);

// A type's options with connections that end with FIN instead of RST, which costs a socket each.
std::string WithFin(std::string_view options);

}  // namespace sonde
