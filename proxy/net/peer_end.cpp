#include "proxy/net/peer_end.hpp"

#include <cerrno>
#include <cstring>
#include <optional>

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

namespace evenkeel::net {

namespace {

// One end of a TCP connection; IPv4 in IPv6 clothes is IPv4, as the peer's own socket most likely is.
struct socket_end {
    int family = AF_UNSPEC;
    in_port_t port = 0; // network order
    in6_addr address{}; // IPv4: in the first four bytes
};

bool operator==(const in6_addr& a, const in6_addr& b) noexcept { return std::memcmp(&a, &b, sizeof a) == 0; }

std::optional<socket_end> read(const sockaddr_storage& from) noexcept {
    socket_end out;
    if (from.ss_family == AF_INET) {
        const auto& in = reinterpret_cast<const sockaddr_in&>(from);
        out.family = AF_INET;
        out.port = in.sin_port;
        std::memcpy(&out.address, &in.sin_addr, sizeof in.sin_addr);
        return out;
    }
    if (from.ss_family != AF_INET6) return std::nullopt;
    const auto& in = reinterpret_cast<const sockaddr_in6&>(from);
    out.port = in.sin6_port;
    if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
        out.family = AF_INET;
        std::memcpy(&out.address, in.sin6_addr.s6_addr + 12, 4);
    } else {
        out.family = AF_INET6;
        out.address = in.sin6_addr;
    }
    return out;
}

// NLMSG_DATA, which casts in the old style.
const void* payload_of(const nlmsghdr* head) noexcept {
    return reinterpret_cast<const char*>(head) + NLMSG_ALIGN(sizeof(nlmsghdr));
}

enum class found : unsigned char { open, shut, none, no_answer };

// The socket whose own address is `from` and whose peer's is `to`.
found look_up(const socket_end& from, const socket_end& to) noexcept {
    const int netlink = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    if (netlink < 0) return found::no_answer;
    struct {
        nlmsghdr head;
        inet_diag_req_v2 asked;
    } question{};
    question.head.nlmsg_len = sizeof question;
    question.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    question.head.nlmsg_flags = NLM_F_REQUEST;
    question.asked.sdiag_family = static_cast<__u8>(from.family);
    question.asked.sdiag_protocol = IPPROTO_TCP;
    question.asked.idiag_ext = 1 << (INET_DIAG_SHUTDOWN - 1);
    question.asked.idiag_states = ~0U;
    question.asked.id.idiag_sport = from.port;
    question.asked.id.idiag_dport = to.port;
    std::memcpy(question.asked.id.idiag_src, &from.address, sizeof from.address);
    std::memcpy(question.asked.id.idiag_dst, &to.address, sizeof to.address);
    question.asked.id.idiag_cookie[0] = question.asked.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    alignas(nlmsghdr) char reply[4096];
    ssize_t size = -1;
    if (::send(netlink, &question, sizeof question, 0) == static_cast<ssize_t>(sizeof question))
        size = ::recv(netlink, reply, sizeof reply, 0);
    ::close(netlink);

    const auto* head = reinterpret_cast<const nlmsghdr*>(reply);
    if (size < 0 || !NLMSG_OK(head, static_cast<std::size_t>(size))) return found::no_answer;
    if (head->nlmsg_type == NLMSG_ERROR && head->nlmsg_len >= NLMSG_LENGTH(sizeof(nlmsgerr)))
        return static_cast<const nlmsgerr*>(payload_of(head))->error == -ENOENT ? found::none : found::no_answer;
    if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY || head->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg)))
        return found::no_answer;
    const auto* const about = static_cast<const inet_diag_msg*>(payload_of(head));
    if (about->idiag_inode == 0) return found::shut;
    // close() sets both directions before it sends its FIN, and takes the inode away after it: this one has no gap.
    const char* at = reinterpret_cast<const char*>(about) + NLMSG_ALIGN(sizeof(inet_diag_msg));
    const char* const end = reply + head->nlmsg_len;
    while (end - at >= static_cast<ssize_t>(sizeof(nlattr))) {
        nlattr attribute;
        std::memcpy(&attribute, at, sizeof attribute);
        if (attribute.nla_len < sizeof attribute || attribute.nla_len > end - at) break;
        constexpr unsigned receives_no_more = 1; // RCV_SHUTDOWN
        if (attribute.nla_type == INET_DIAG_SHUTDOWN && attribute.nla_len > NLA_HDRLEN)
            return (static_cast<unsigned char>(at[NLA_HDRLEN]) & receives_no_more) != 0 ? found::shut : found::open;
        at += NLA_ALIGN(attribute.nla_len);
    }
    return found::open;
}

} // namespace

peer_end look_at_peer(int descriptor) noexcept {
    sockaddr_storage near_storage{}, far_storage{};
    socklen_t size = sizeof near_storage;
    if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&near_storage), &size) != 0) return peer_end::unknown;
    if (near_storage.ss_family == AF_UNIX) {
        pollfd one{descriptor, 0, 0};
        return ::poll(&one, 1, 0) > 0 ? peer_end::gone : peer_end::reads; // POLLHUP: both directions are shut
    }
    size = sizeof far_storage;
    if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&far_storage), &size) != 0)
        return errno == ENOTCONN ? peer_end::gone : peer_end::unknown;
    const auto here = read(near_storage), there = read(far_storage);
    if (!here || !there || here->family != there->family) return peer_end::unknown;
    switch (look_up(*there, *here)) {
    case found::open: return peer_end::reads;
    case found::shut: return peer_end::gone;
    case found::none:
        // A peer with an address of ours whose socket is no more; unless this kernel would not find our own either.
        return here->address == there->address && look_up(*here, *there) == found::open ? peer_end::gone
                                                                                        : peer_end::unknown;
    case found::no_answer: break;
    }
    return peer_end::unknown;
}

bool all_delivered(int descriptor) noexcept {
    int waiting = 0;
    return ::ioctl(descriptor, SIOCOUTQ, &waiting) == 0 && waiting == 0;
}

} // namespace evenkeel::net
