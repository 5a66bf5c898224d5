// Reads the configuration again: on a worker, one reading at a time. Whoever asks during one is
// answered by one more, since a file may have changed after the running one read it.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "exporter/loop.h"
#include "tools/sonde/configuration.h"
#include "tools/sonde/targets.h"

namespace sonde {

// What one reading gave. `config.unchanged`: what is in force stays.
struct Reading {
  LoadedFile config;
  absl::StatusOr<LoadedTargets> targets = LoadedTargets();
};

// Loop thread. Outlives the loop, whose worker may be reading when everything ends.
class Reloader {
 public:
  using Done = std::function<void(absl::Status)>;
  using Read = std::function<absl::StatusOr<Reading>()>;              // a worker's thread
  using Take = std::function<void(absl::StatusOr<Reading> reading)>;  // the loop

  Reloader(ExporterLoop& loop, Read read, Take take)
      : loop_(loop), read_(std::move(read)), take_(std::move(take)) {}

  // `done` is called once, on the loop, with what the reading came to.
  void Reload(Done done);

 private:
  static constexpr size_t kMostWaiting = 64;
  void ReadAgain();

  ExporterLoop& loop_;
  const Read read_;
  const Take take_;
  bool reading_ = false;
  std::vector<Done> asked_;  // and not yet answered by a reading
};

}  // namespace sonde
