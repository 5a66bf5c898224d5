#include "protocols/dns_types.h"

#include <algorithm>

namespace sonde {
namespace {

// By number.
constexpr DnsType kTypes[] = {
    {0, "None", ""},
    {1, "A", "a"},
    {2, "NS", "n"},
    {3, "MD", "n"},
    {4, "MF", "n"},
    {5, "CNAME", "n"},
    {6, "SOA", "nn44444"},
    {7, "MB", "n"},
    {8, "MG", "n"},
    {9, "MR", "n"},
    {10, "NULL", ""},
    {12, "PTR", "n"},
    {13, "HINFO", "ss"},
    {14, "MINFO", "nn"},
    {15, "MX", "2n"},
    {16, "TXT", "t"},
    {17, "RP", "nn"},
    {18, "AFSDB", "2n"},
    {19, "X25", "u"},
    {20, "ISDN", ""},
    {21, "RT", "2n"},
    {23, "NSAP-PTR", "n"},
    {24, "SIG", "T114DD2nb"},
    {25, "KEY", "211b"},
    {26, "PX", "2nn"},
    {27, "GPOS", "uuu"},
    {28, "AAAA", "A"},
    {29, "LOC", "L"},
    {30, "NXT", ""},
    {31, "EID", "h"},
    {32, "NIMLOC", "h"},
    {33, "SRV", "222n"},
    {34, "ATMA", ""},
    {35, "NAPTR", "22sssn"},
    {36, "KX", "2n"},
    {37, "CERT", "221b"},
    {39, "DNAME", "n"},
    {41, "OPT", "O"},
    {42, "APL", ""},
    {43, "DS", "211h"},
    {44, "SSHFP", "11h"},
    {45, "IPSECKEY", ""},
    {46, "RRSIG", "T114DD2nb"},
    {47, "NSEC", "nm"},
    {48, "DNSKEY", "211b"},
    {49, "DHCID", "b"},
    {50, "NSEC3", "112SNm"},
    {51, "NSEC3PARAM", "112S"},
    {52, "TLSA", "111H"},
    {53, "SMIMEA", "111H"},
    {55, "HIP", ""},
    {56, "NINFO", "t"},
    {57, "RKEY", "211b"},
    {58, "TALINK", "nn"},
    {59, "CDS", "211h"},
    {60, "CDNSKEY", "211b"},
    {61, "OPENPGPKEY", "b"},
    {62, "CSYNC", "42m"},
    {63, "ZONEMD", "411H"},
    {64, "SVCB", "2np"},
    {65, "HTTPS", "2np"},
    {99, "SPF", "t"},
    {100, "UINFO", "s"},
    {101, "UID", "4"},
    {102, "GID", "4"},
    {103, "UNSPEC", ""},
    {104, "NID", "2i"},
    {105, "L32", "2a"},
    {106, "L64", "2I"},
    {107, "LP", "2n"},
    {108, "EUI48", "e"},
    {109, "EUI64", "E"},
    {128, "NXNAME", ""},
    {249, "TKEY", ""},
    {250, "TSIG", ""},
    {251, "IXFR", ""},
    {252, "AXFR", ""},
    {253, "MAILB", ""},
    {254, "MAILA", ""},
    {255, "ANY", ""},
    {256, "URI", "22o"},
    {257, "CAA", "1uo"},
    {258, "AVC", "t"},
    {260, "AMTRELAY", ""},
    {261, "RESINFO", "t"},
    {32768, "TA", "211h"},
    {32769, "DLV", "211h"},
    {65535, "Reserved", ""},
};

struct Name {
  uint16_t number;
  std::string_view name;
};

constexpr Name kClasses[] = {{1, "IN"}, {2, "CS"},     {3, "CH"},
                             {4, "HS"}, {254, "NONE"}, {255, "ANY"}};

// A number with two names is called by the first.
constexpr Name kRcodes[] = {
    {0, "NOERROR"},   {1, "FORMERR"},    {2, "SERVFAIL"},   {3, "NXDOMAIN"}, {4, "NOTIMP"},
    {4, "NOTIMPL"},   {5, "REFUSED"},    {6, "YXDOMAIN"},   {7, "YXRRSET"},  {8, "NXRRSET"},
    {9, "NOTAUTH"},   {10, "NOTZONE"},   {11, "DSOTYPENI"}, {16, "BADSIG"},  {16, "BADVERS"},
    {17, "BADKEY"},   {18, "BADTIME"},   {19, "BADMODE"},   {20, "BADNAME"}, {21, "BADALG"},
    {22, "BADTRUNC"}, {23, "BADCOOKIE"},
};

template <size_t N>
std::optional<uint16_t> NumberOf(const Name (&names)[N], std::string_view wanted) {
  for (const Name& row : names) {
    if (row.name == wanted) return row.number;
  }
  return std::nullopt;
}

template <size_t N>
std::string_view NameOf(const Name (&names)[N], uint16_t wanted) {
  for (const Name& row : names) {
    if (row.number == wanted) return row.name;
  }
  return {};
}

}  // namespace

const DnsType* FindDnsType(uint16_t number) {
  const auto* found =
      std::lower_bound(std::begin(kTypes), std::end(kTypes), number,
                       [](const DnsType& row, uint16_t wanted) { return row.number < wanted; });
  return found != std::end(kTypes) && found->number == number ? found : nullptr;
}

const DnsType* FindDnsType(std::string_view name) {
  const auto* found = std::find_if(std::begin(kTypes), std::end(kTypes),
                                   [&](const DnsType& row) { return row.name == name; });
  return found != std::end(kTypes) ? found : nullptr;
}

std::optional<uint16_t> FindDnsClass(std::string_view name) { return NumberOf(kClasses, name); }

std::string_view DnsClassName(uint16_t number) {
  return number == 255 ? std::string_view() : NameOf(kClasses, number);
}

std::optional<uint16_t> FindDnsRcode(std::string_view name) { return NumberOf(kRcodes, name); }
std::string_view DnsRcodeName(uint16_t number) { return NameOf(kRcodes, number); }

}  // namespace sonde
