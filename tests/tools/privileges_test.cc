#include "tools/sonde/privileges.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <thread>

namespace sonde {
namespace {

constexpr uint64_t kNetRaw = uint64_t{1} << 13;
constexpr uint64_t kSetPcap = uint64_t{1} << 8;

// "CapEff" -> its bits, of the calling thread.
std::map<std::string, uint64_t> OwnStatus() {
  std::ifstream file("/proc/thread-self/status");
  std::map<std::string, uint64_t> status;
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (line.starts_with("Cap")) {
      status[line.substr(0, colon)] = std::stoull(line.substr(colon + 1), nullptr, 16);
    }
    if (line.starts_with("NoNewPrivs")) status["NoNewPrivs"] = line.back() == '1';
  }
  return status;
}

// Privileges belong to threads: each test gives up those of one of its own.
template <typename Body>
void InAThread(Body body) {
  std::thread(body).join();
}

TEST(Privileges, NothingIsLeftButRawSockets) {
  const std::map<std::string, uint64_t> mine = OwnStatus();
  ASSERT_EQ(mine.size(), 6u);
  const uint64_t kept = mine.at("CapPrm") & kNetRaw;
  const bool may_cut = mine.at("CapEff") & kSetPcap;
  InAThread([&] {
    const auto said = GiveUpPrivileges();
    ASSERT_TRUE(said.ok()) << said.status();
    EXPECT_EQ(*said, kept != 0 ? "cap_net_raw" : "none");
    // A second time there is nothing to give up, and nothing to complain about.
    EXPECT_EQ(*GiveUpPrivileges(), *said);
    std::map<std::string, uint64_t> left = OwnStatus();
    EXPECT_EQ(left["CapPrm"], kept);
    EXPECT_EQ(left["CapEff"], kept);
    EXPECT_EQ(left["CapInh"], 0u);
    EXPECT_EQ(left["CapAmb"], 0u);
    EXPECT_EQ(left["CapBnd"], may_cut ? mine.at("CapBnd") & kNetRaw : mine.at("CapBnd"));
    EXPECT_EQ(left["NoNewPrivs"], 1u);
    // Threads started from here on have no more.
    InAThread([&] { EXPECT_EQ(OwnStatus(), left); });
  });
  EXPECT_EQ(OwnStatus(), mine);
}

TEST(Privileges, RawSocketsStillOpen) {
  const int before = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
  if (before < 0) GTEST_SKIP() << "no raw sockets here";
  close(before);
  InAThread([] {
    ASSERT_TRUE(GiveUpPrivileges().ok());
    for (const auto& [family, protocol] :
         {std::pair{AF_INET, int{IPPROTO_ICMP}}, {AF_INET6, int{IPPROTO_ICMPV6}}}) {
      const int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC, protocol);
      EXPECT_GE(fd, 0) << family;
      EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2), 0) << family;
      close(fd);
    }
  });
}

}  // namespace
}  // namespace sonde
