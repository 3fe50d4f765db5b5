// Apart from all others: the kernel's own header, which knows more of TCP_INFO than the C library's, bears no other
// beside it.

#include "proxy/net/unacknowledged.hpp"

#include <cstddef>

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace evenkeel::net {

std::optional<sent_bytes> look_at_sent(int descriptor) noexcept {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (descriptor < 0 || ::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
    if (size < offsetof(tcp_info, tcpi_notsent_bytes) + sizeof info.tcpi_notsent_bytes) return std::nullopt;
    // Linux tells the window since 5.4; before, what is kept back for want of one shows as not sent.
    const bool told = size >= offsetof(tcp_info, tcpi_snd_wnd) + sizeof info.tcpi_snd_wnd;
    return sent_bytes{info.tcpi_bytes_acked, info.tcpi_unacked,
                      told ? info.tcpi_snd_wnd > 0 : info.tcpi_notsent_bytes == 0};
}

} // namespace evenkeel::net
