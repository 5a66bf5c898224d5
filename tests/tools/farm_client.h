// A blocking client with a time-out on everything: the simplest thing that can judge a target.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sonde {

class FarmClient {
 public:
  enum class End : uint8_t { kOpen, kClosed, kReset, kTimeout };

  // Connects to `address`; connected() says whether it worked, error() is errno if not.
  explicit FarmClient(uint16_t port, const std::string& address = "127.0.0.1",
                      int timeout_ms = 5000);
  ~FarmClient();

  bool connected() const { return fd_ >= 0; }
  int error() const { return error_; }
  int fd() const { return fd_; }
  FarmClient& Send(std::string_view bytes);
  void HalfClose();
  // One HTTP request for `path`.
  FarmClient& Get(std::string_view path, bool close = false, std::string_view method = "GET");

  // Until `count` bytes are there in all, the connection ends, or nothing comes in time.
  const std::string& ReadAtLeast(size_t count);
  const std::string& ReadUntil(std::string_view mark);
  const std::string& ReadAll() { return ReadAtLeast(SIZE_MAX); }
  const std::string& got() const { return got_; }
  void Forget() { got_.clear(); }
  End end() const { return end_; }
  size_t reads() const { return reads_; }  // calls that brought bytes
  bool ReadSome();

 private:
  int fd_ = -1;
  int error_ = 0;
  End end_ = End::kOpen;
  size_t reads_ = 0;
  std::string got_;
};

}  // namespace sonde
