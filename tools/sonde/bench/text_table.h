// Tables and numbers for people.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sonde {

// Columns as wide as they need; the first one to the left, the others to the right. The first row
// is the head.
std::string TableText(const std::vector<std::vector<std::string>>& rows);

std::string Printed(const char* format, ...) __attribute__((format(printf, 1, 2)));
std::string WithThousands(double number);          // "12,345"; no fraction
std::string Significant(double number);            // three digits: "0.0123", "12.3", "12,345"
std::string OrDash(std::optional<double> number);  // the same, "-" for none
double MedianOf(std::vector<double> values);       // 0 for none

}  // namespace sonde
