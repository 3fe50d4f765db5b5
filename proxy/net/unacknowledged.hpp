#pragma once
// What has become of the bytes that were sent over a TCP connection, as the kernel knows it (tcp(7), TCP_INFO).

#include <cstdint>
#include <optional>

namespace evenkeel::net {

struct sent_bytes {
    std::uint64_t acknowledged; // since the connection was made
    std::uint32_t under_way;    // segments: sent, and not acknowledged
    bool window_open;           // the peer has room for what is under way
};
// Empty: it is no TCP connection, or the kernel is too old to tell. One system call.
[[nodiscard]] std::optional<sent_bytes> look_at_sent(int descriptor) noexcept;

} // namespace evenkeel::net
