#include "protocols/no_proxy.h"

#include <gtest/gtest.h>

namespace sonde {
namespace {

struct Case {
  std::string_view list, host;
  uint16_t port;
  std::string_view address;  // what the host resolved to; "": unknown
  bool direct;
};

// The rules of golang.org/x/net/http/httpproxy.
constexpr Case kCases[] = {
    {"", "shop.example", 80, "", false},
    {"", "localhost", 80, "", true},
    {"", "127.3.2.1", 80, "", true},
    {"", "::1", 80, "", true},
    {"", "here.example", 80, "127.0.0.1", true},
    {"", "::ffff:127.0.0.1", 80, "", true},
    {"", "localhost.example", 80, "", false},
    {"*", "shop.example", 80, "", true},
    {"other.example, *", "192.0.2.1", 443, "", true},
    {"*example", "shop.example", 80, "", false},
    {"shop.example", "shop.example", 80, "", true},
    {"shop.example", "www.shop.example", 80, "", true},
    {"shop.example", "workshop.example", 80, "", false},
    {" , SHOP.example ,", "shop.example", 80, "", true},
    {".shop.example", "shop.example", 80, "", false},
    {".shop.example", "www.shop.example", 80, "", true},
    {"*.shop.example", "shop.example", 80, "", false},
    {"*.shop.example", "a.b.shop.example", 80, "", true},
    {"shop.example:8080", "shop.example", 8080, "", true},
    {"shop.example:8080", "shop.example", 80, "", false},
    {".example:443", "shop.example", 443, "", true},
    {"shop.example:0", "shop.example", 80, "", false},
    {"shop.example:x", "shop.example", 80, "", false},
    {":80", "shop.example", 80, "", false},
    {"192.0.2.7", "192.0.2.7", 80, "", true},
    {"192.0.2.7", "192.0.2.8", 80, "", false},
    {"192.0.2.7:81", "192.0.2.7", 81, "", true},
    {"192.0.2.7:81", "192.0.2.7", 80, "", false},
    {"192.0.2.7", "shop.example", 80, "192.0.2.7", true},
    {"192.0.2.7", "::ffff:192.0.2.7", 80, "", true},
    {"10.0.0.0/8", "10.255.0.1", 80, "", true},
    {"10.0.0.0/8", "11.0.0.1", 80, "", false},
    {"10.0.0.0/8", "shop.example", 80, "10.1.1.1", true},
    {"10.0.0.0/33", "10.1.1.1", 80, "", false},
    {"10.0.0.0/", "10.1.1.1", 80, "", false},
    {"192.0.2.128/25", "192.0.2.129", 80, "", true},
    {"192.0.2.128/25", "192.0.2.127", 80, "", false},
    {"0.0.0.0/0", "192.0.2.127", 80, "", true},
    {"0.0.0.0/0", "2001:db8::1", 80, "", false},
    {"2001:db8::/32", "2001:db8:1::1", 80, "", true},
    {"2001:db8::/32", "2001:db9::1", 80, "", false},
    {"2001:db8::1", "2001:db8::1", 80, "", true},
    {"[2001:db8::1]", "2001:db8::1", 80, "", true},
    {"[2001:db8::1]:443", "2001:db8::1", 443, "", true},
    {"[2001:db8::1]:443", "2001:db8::1", 80, "", false},
    {"[", "shop.example", 80, "", false},
    {"[]", "shop.example", 80, "", false},
    {"]:80", "shop.example", 80, "", false},
    {".", "shop.example", 80, "", false},
    {"2.7", "192.0.2.7", 80, "", false},  // a name's rule says nothing of addresses
};

TEST(NoProxyTest, Rules) {
  for (const Case& c : kCases) {
    const auto address = Address::ParseLiteral(c.address, c.port);
    EXPECT_EQ(NoProxy::Parse(c.list).Matches(c.host, c.port, address ? &*address : nullptr),
              c.direct)
        << "'" << c.list << "' " << c.host << ":" << c.port << " " << c.address;
  }
}

}  // namespace
}  // namespace sonde
