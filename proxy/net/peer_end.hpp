#pragma once
// Whether the other end of a connection, whose FIN has come, still reads. A FIN says only that nothing more will be
// sent: close() and shutdown(SHUT_WR) look the same on the wire until something is written to the peer, and a closed
// one resets.
//
// Where the peer is a process of this machine's network namespace (a sidecar's always is), the kernel has its socket
// too and says which of the two it was: of a unix socket by POLLHUP, of TCP by sock_diag(7), which shows for a 4-tuple
// the socket's inode (0: nobody has it open) and which directions are shut. One netlink message, answered at once and
// open to any user; about 15 us, paid only where a FIN came before the answer.

namespace evenkeel::net {

enum class peer_end : unsigned char {
    reads,
    gone,
    unknown, // it is another machine's, or the kernel tells nothing
};
[[nodiscard]] peer_end look_at_peer(int descriptor) noexcept;

// All that was written has reached the peer's kernel.
[[nodiscard]] bool all_delivered(int descriptor) noexcept;

} // namespace evenkeel::net
