#include "proxy/net/own_addresses.hpp"

#include <doctest/doctest.h>

#include <string>

namespace evenkeel::test::own_addresses_test {

namespace {
using boost::asio::ip::tcp;
tcp::endpoint end(const char* address, std::uint16_t port) { return {boost::asio::ip::make_address(address), port}; }
} // namespace

TEST_CASE("F7: a connection whose far end is one of our listeners is known by its two ends") {
    net::own_addresses ours;
    ours.add("127.0.0.1:8080");
    ours.add("0.0.0.0:8443");
    ours.add("[::]:9443");
    ours.add("unix:/run/evenkeel.sock");

    CHECK(ours.is_ours(end("127.0.0.1", 8080), end("127.0.0.1", 50000)));
    CHECK(ours.is_ours(end("::ffff:127.0.0.1", 8080), end("::ffff:127.0.0.1", 50000)));
    CHECK(!ours.is_ours(end("127.0.0.1", 8081), end("127.0.0.1", 50000)));
    CHECK(!ours.is_ours(end("127.0.0.2", 8080), end("127.0.0.1", 50000))); // somebody else's may be there
    CHECK(!ours.is_ours(end("10.0.0.5", 8080), end("10.0.0.5", 50000)));

    // Of all interfaces: whatever is on this machine.
    CHECK(ours.is_ours(end("127.0.0.2", 8443), end("127.0.0.1", 50000)));
    CHECK(ours.is_ours(end("10.0.0.5", 8443), end("10.0.0.5", 50000)));
    CHECK(!ours.is_ours(end("10.0.0.6", 8443), end("10.0.0.5", 50000)));
    CHECK(ours.is_ours(end("::1", 9443), end("::1", 50000)));
    CHECK(ours.is_ours(end("10.0.0.5", 9443), end("10.0.0.5", 50000)));
    CHECK(!ours.is_ours(end("2001:db8::2", 9443), end("2001:db8::1", 50000)));

    CHECK(!net::own_addresses{}.is_ours(end("127.0.0.1", 8080), end("127.0.0.1", 50000)));
}

} // namespace evenkeel::test::own_addresses_test
