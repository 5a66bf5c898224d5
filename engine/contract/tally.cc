#include "engine/contract/tally.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "engine/contract/fetch_lines.h"

namespace sonde {
namespace {

// The writer is alone: a relaxed load and store is an increment, and costs a tenth of a locked one.
template <typename T>
void Add(std::atomic<T>& counter, T amount, std::memory_order order = std::memory_order_relaxed) {
  counter.store(static_cast<T>(counter.load(std::memory_order_relaxed) + amount), order);
}

// Whoever is first keeps its part: it is there for good.
template <typename Part>
void Provide(std::atomic<Part*>& part) {
  if (part.load(std::memory_order_relaxed) != nullptr) return;
  part.store(new Part, std::memory_order_release);
}

// No loop that ends early: which bucket it is cannot be foretold.
size_t BucketOf(double seconds) {
  size_t bucket = 0;
  for (const double bound : kLatencyBounds) bucket += seconds > bound;
  return bucket;
}

constexpr uint32_t kHalf = 0xffff;

uint32_t Counted(uint32_t slot, bool passed) {
  const uint32_t half = passed ? slot >> 16 : slot & kHalf;
  if (half == kHalf) return slot;
  return slot + (passed ? uint32_t{1} << 16 : uint32_t{1});
}

// Number of the slot `time` falls into, counted from the epoch.
uint32_t SlotNumber(const WindowInfo& window, WallTime time) {
  return static_cast<uint32_t>(std::max<int64_t>(time.ns, 0) / window.slot.ns);
}

size_t SlotIndex(const WindowInfo& window, uint32_t number) {
  return window.first + number % window.slots;
}

// Where a moment falls in each window.
struct Places {
  static constexpr Duration kFor = kWindows[0].slot;  // the others' slots are multiples of it
  static_assert(kWindows[1].slot.ns % kFor.ns == 0 && kWindows[2].slot.ns % kFor.ns == 0);

  int64_t begin_ns = -kFor.ns;  // good for kFor from here on
  std::array<uint32_t, kWindows.size()> number{};
  std::array<uint8_t, kWindows.size()> index{};
};

// Runs of one thread end one after the other: most fall where the last one did.
const Places& PlacesOf(WallTime time) {
  thread_local Places places;
  const int64_t ns = std::max<int64_t>(time.ns, 0);
  if (ns >= places.begin_ns && ns - places.begin_ns < Places::kFor.ns) return places;
  places.begin_ns = ns - ns % Places::kFor.ns;
  for (size_t w = 0; w < kWindows.size(); ++w) {
    places.number[w] = SlotNumber(kWindows[w], time);
    places.index[w] = static_cast<uint8_t>(SlotIndex(kWindows[w], places.number[w]));
  }
  return places;
}

using WindowSlots = std::array<std::atomic<uint32_t>, kWindowSlots>;

// The window's newest slot was another one. Gives the place of the slot to count in.
size_t EnterSlot(const WindowInfo& window, uint32_t number, std::atomic<uint32_t>& newest_slot,
                 WindowSlots& windows) {
  const uint32_t newest = newest_slot.load(std::memory_order_relaxed);
  // The wall clock went back a little: count where we are.
  if (number < newest && newest - number < window.slots) return SlotIndex(window, newest);
  // Forward: zero what was not visited. Back by more than the window: it starts anew.
  const uint32_t stale =
      number > newest ? std::min<uint32_t>(number - newest, window.slots) : window.slots;
  for (uint32_t i = 0; i < stale; ++i) {
    windows[SlotIndex(window, number + window.slots - i)].store(0, std::memory_order_relaxed);
  }
  newest_slot.store(number, std::memory_order_release);
  return SlotIndex(window, number);
}

// A reader that met the writer tries again; a write takes tens of nanoseconds.
constexpr int kReadTries = 4096;
// Up to the facts that most runs have.
constexpr size_t kUsualBytes = 320;
static_assert(sizeof(ProbeResult) % 8 == 0);

}  // namespace

// Reasons beyond the inline ones: few tasks ever meet so many. 192 bytes.
struct Tally::ReasonPage {
  static constexpr size_t kReasons = 36;
  std::array<std::atomic<uint32_t>, kReasons> counts{};
  std::array<std::atomic<uint8_t>, kReasons> outcomes{};
  std::atomic<ReasonPage*> next{nullptr};
};

Tally::~Tally() {
  ReasonPage* page = more_reasons_.load(std::memory_order_relaxed);
  while (page != nullptr) {
    ReasonPage* next = page->next.load(std::memory_order_relaxed);
    delete page;
    page = next;
  }
  delete recent_.load(std::memory_order_relaxed);
  delete native_.load(std::memory_order_relaxed);
}

void Tally::ProvideRecent() { Provide(recent_); }
void Tally::ProvideNative() { Provide(native_); }

void Tally::Record(const ProbeResult& result, WallTime finished) {
  const Verdict verdict = result.verdict();
  // Looked up once: a part that comes meanwhile is started by the next run.
  NativeHistogram* native = native_.load(std::memory_order_acquire);
  if (native != nullptr && !native->started()) native->Start(kLatencyBounds, latency().buckets);
  switch (verdict) {
    case Verdict::kSuccess:
      Add(success_, uint64_t{1});
      break;
    case Verdict::kFailed:
      Add(failed_, uint64_t{1});
      break;
    case Verdict::kInconclusive:
      Add(inconclusive_, uint64_t{1});
      break;
  }
  if (result.outcome != Outcome::kOk) Add(*ReasonCell(result.outcome), uint32_t{1});
  if (verdict == Verdict::kSuccess && result.latency_recorded)
    CountLatency(result.duration, native);
  if (verdict != Verdict::kInconclusive) {
    CountInWindows(verdict == Verdict::kSuccess, finished);
    StoreLast(result);
  }
  if (ResultRing* recent = recent_.load(std::memory_order_acquire)) {
    recent->Add({finished, result.outcome, result.duration});
  }
  last_outcome_.store(static_cast<uint8_t>(result.outcome), std::memory_order_relaxed);
  last_run_.store(finished.ns, std::memory_order_release);
}

// The native bucket first: who saw a run in its classic bucket (release, acquire) sees it there
// too.
void Tally::CountLatency(Duration latency, NativeHistogram* native) {
  if (native != nullptr) native->Count(latency);
  const double seconds = latency.seconds();
  Add(latency_[BucketOf(seconds)], uint32_t{1}, std::memory_order_release);
  Add(latency_sum_, seconds);
}

void Tally::Fetch(int step) const {
  const ResultRing* recent = step > 0 ? recent_.load(std::memory_order_acquire) : nullptr;
  if (step == 0) {
    FetchLines(this, kUsualBytes);
  } else if (step == 1) {
    for (size_t w = 0; w < kWindows.size(); ++w) {
      const uint32_t newest = window_slot_[w].load(std::memory_order_relaxed);
      __builtin_prefetch(&windows_[SlotIndex(kWindows[w], newest)]);
    }
    if (recent != nullptr) recent->FetchHead();
  } else if (recent != nullptr) {
    recent->FetchNext();
  }
}

void Tally::CountSkipped(uint64_t slots) { Add(skipped_, slots); }

// kOk marks a free cell: it is no reason. A cell is published by its outcome.
std::atomic<uint32_t>* Tally::ReasonCell(Outcome outcome) {
  const auto wanted = static_cast<uint8_t>(outcome);
  const auto find = [&](auto& outcomes, auto& counts) -> std::atomic<uint32_t>* {
    for (size_t i = 0; i < outcomes.size(); ++i) {
      const uint8_t here = outcomes[i].load(std::memory_order_relaxed);
      if (here == 0) outcomes[i].store(wanted, std::memory_order_release);
      if (here == 0 || here == wanted) return &counts[i];
    }
    return nullptr;
  };
  if (auto* cell = find(reason_outcomes_, reason_counts_)) return cell;
  std::atomic<ReasonPage*>* link = &more_reasons_;
  for (;;) {
    ReasonPage* page = link->load(std::memory_order_relaxed);
    if (page == nullptr) {
      page = new ReasonPage;
      link->store(page, std::memory_order_release);
    }
    if (auto* cell = find(page->outcomes, page->counts)) return cell;
    link = &page->next;
  }
}

void Tally::CountInWindows(bool passed, WallTime finished) {
  const Places& places = PlacesOf(finished);
  for (size_t w = 0; w < kWindows.size(); ++w) {
    const uint32_t number = places.number[w];
    const bool same = window_slot_[w].load(std::memory_order_relaxed) == number;
    std::atomic<uint32_t>& slot =
        windows_[same ? places.index[w]
                      : EnterSlot(kWindows[w], number, window_slot_[w], windows_)];
    slot.store(Counted(slot.load(std::memory_order_relaxed), passed), std::memory_order_relaxed);
  }
}

// The version is odd while the words change. A reader that saw one new word (acquire) also sees the
// odd version stored before it (release), so it cannot take a mixture for a whole.
void Tally::StoreLast(const ProbeResult& result) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&result);
  const uint32_t version = last_version_.load(std::memory_order_relaxed);
  last_version_.store(version + 1, std::memory_order_relaxed);
  // Behind the facts that are set nothing is read: what an earlier result left there may stay.
  for (size_t i = 0, used = result.bytes_used() / 8; i < used; ++i) {
    uint64_t word;
    std::memcpy(&word, bytes + i * 8, sizeof word);
    last_[i].store(word, std::memory_order_release);
  }
  const uint32_t next = version + 2;
  last_version_.store(next == 0 ? 2 : next, std::memory_order_release);
}

std::optional<ProbeResult> Tally::last() const {
  std::array<uint64_t, kResultWords> words;
  for (int i = 0; i < kReadTries; ++i) {
    const uint32_t before = last_version_.load(std::memory_order_acquire);
    if (before == 0) return std::nullopt;
    if (before % 2 != 0) continue;
    for (size_t w = 0; w < words.size(); ++w) words[w] = last_[w].load(std::memory_order_acquire);
    if (last_version_.load(std::memory_order_relaxed) != before) continue;
    ProbeResult result;
    std::memcpy(static_cast<void*>(&result), words.data(), sizeof(result));
    return result;
  }
  return std::nullopt;
}

Tally::Counts Tally::counts() const {
  return {success_.load(std::memory_order_relaxed), failed_.load(std::memory_order_relaxed),
          inconclusive_.load(std::memory_order_relaxed), skipped_.load(std::memory_order_relaxed)};
}

void Tally::Reasons(std::vector<Reason>* out) const {
  const auto append = [&](const auto& outcomes, const auto& counts) {
    for (size_t i = 0; i < outcomes.size(); ++i) {
      const uint8_t outcome = outcomes[i].load(std::memory_order_acquire);
      if (outcome == 0) return;
      // 0: published a moment ago, about to be counted.
      const uint32_t count = counts[i].load(std::memory_order_relaxed);
      if (count > 0) out->push_back({static_cast<Outcome>(outcome), count});
    }
  };
  append(reason_outcomes_, reason_counts_);
  const ReasonPage* page = more_reasons_.load(std::memory_order_acquire);
  for (; page != nullptr; page = page->next.load(std::memory_order_acquire)) {
    append(page->outcomes, page->counts);
  }
}

Tally::Latency Tally::latency() const {
  Latency latency;
  for (size_t i = 0; i < kLatencyBuckets; ++i) {
    latency.buckets[i] = latency_[i].load(std::memory_order_acquire);
    latency.count += latency.buckets[i];
  }
  latency.sum_seconds = latency_sum_.load(std::memory_order_relaxed);
  return latency;
}

bool Tally::Native(NativeCounts* out) const {
  const NativeHistogram* native = native_.load(std::memory_order_acquire);
  return native != nullptr && native->Read(out);
}

void Tally::Recent(std::vector<RecentRun>* out) const {
  if (const ResultRing* recent = recent_.load(std::memory_order_acquire)) recent->Read(out);
}

// The array holds the slots (newest - slots, newest]; the window wants (present - slots, present].
Tally::Ratio Tally::ratio(Window which, WallTime now) const {
  const auto w = static_cast<size_t>(which);
  const WindowInfo& window = kWindows[w];
  const uint32_t newest = window_slot_[w].load(std::memory_order_acquire);
  const uint32_t present = std::max(newest, SlotNumber(window, now));
  Ratio ratio;
  for (uint32_t age = present - newest; age < window.slots; ++age) {
    const uint32_t slot =
        windows_[SlotIndex(window, present + window.slots - age)].load(std::memory_order_relaxed);
    ratio.passed += slot >> 16;
    ratio.failed += slot & kHalf;
  }
  return ratio;
}

WallTime Tally::last_run() const { return {last_run_.load(std::memory_order_acquire)}; }

Outcome Tally::last_outcome() const {
  return static_cast<Outcome>(last_outcome_.load(std::memory_order_relaxed));
}

}  // namespace sonde
