// Records as zone files have them, in blackbox_exporter's spelling: regular expressions written for
// it must match here. Owner, TTL, class, type and data, separated by tabs:
//   www.example.<TAB>3600<TAB>IN<TAB>A<TAB>192.0.2.7
// Names end with a dot; what is not printable ASCII is \DDD. Types whose data is opaque follow RFC
// 3597: CLASS1, TYPE65280, `\# 4 0a000001`. CERT has numbers for its names. An OPT record is the
// text dig prints for it.
#pragma once

#include <string>
#include <string_view>

#include "engine/contract/conversation.h"
#include "protocols/dns_message.h"

namespace sonde {

// Whether the data has the form of its type: every field whole, nothing left over. Types that are
// not known, and records without data, are good. Allocates nothing.
bool CheckDnsRecord(Bytes message, const DnsRecord& record);

// Appends the line, without a line end, of a record that passed the check. At most about 2.3 kB and
// four times the record's data: names are written out.
void AppendDnsRecord(Bytes message, const DnsRecord& record, Buffer* out);

// "www.example.": the name at `at`.
void AppendDnsName(Bytes message, size_t at, Buffer* out);

}  // namespace sonde
