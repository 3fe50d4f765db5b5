#pragma once
// Bounds of everything read from a peer before it is believed. Sizes in bytes.

#include <cstddef>

namespace evenkeel::wire {

struct head_limits {
    // Start line, fields and the empty line; 431 (request), 502 (response) beyond.
    std::size_t max_head_bytes = 64 * 1024;
    std::size_t max_target_bytes = 16 * 1024; // 414 beyond
    std::size_t max_fields = 128;             // 431 beyond
};

struct chunk_limits {
    std::size_t max_line_bytes = 1024;        // one chunk-size line with its extensions
    std::size_t max_trailer_bytes = 8192;     // whole trailer section; trailers are read, checked and dropped
    std::size_t overhead_grace_bytes = 65536; // framing bytes allowed before the ratio below is looked at
    // Framing bytes per body byte beyond the grace: one-byte chunks cost 6 to 1.
    std::size_t max_overhead_ratio = 8;
};

} // namespace evenkeel::wire
