#include "tools/sonde/reloader.h"

#include <utility>

namespace sonde {

void Reloader::Reload(Done done) {
  if (asked_.size() >= kMostWaiting) {
    done(absl::ResourceExhaustedError("too many reloads wait"));
    return;
  }
  asked_.push_back(std::move(done));
  if (!reading_) ReadAgain();
}

void Reloader::ReadAgain() {
  reading_ = true;
  auto answered = std::make_shared<std::vector<Done>>(std::exchange(asked_, {}));
  auto result = std::make_shared<absl::StatusOr<Reading>>(absl::UnknownError("not loaded"));
  const auto finish = [this, answered](absl::StatusOr<Reading> reading) {
    const absl::Status status = reading.status();
    take_(std::move(reading));
    reading_ = false;
    for (const Done& done : *answered) done(status);
    if (!asked_.empty() && !reading_) ReadAgain();
  };
  const bool accepted = loop_.RunInWorker([this, result] { *result = read_(); },
                                          [result, finish] { finish(std::move(*result)); });
  if (!accepted) finish(absl::ResourceExhaustedError("too many jobs wait"));
}

}  // namespace sonde
