#pragma once

#include <cstddef>

namespace emulator {

class Cluster;

// Groups the blocked threads by what they wait for and puts that into words.
void describe_deadlock(const Cluster& cluster, char* text, size_t text_bytes);

}  // namespace emulator
