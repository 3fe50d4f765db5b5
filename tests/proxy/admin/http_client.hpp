#pragma once
// Speaks to an admin listener byte by byte, as the tests of it want it.

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace evenkeel::test {

struct admin_client {
    explicit admin_client(std::uint16_t port) : socket(context) {
        socket.connect({boost::asio::ip::make_address("127.0.0.1"), port});
    }
    void send(const std::string& bytes) { boost::asio::write(socket, boost::asio::buffer(bytes)); }
    // Until the server closes.
    std::string read_all() {
        boost::system::error_code error;
        boost::asio::read(socket, boost::asio::dynamic_buffer(got), error);
        return std::move(got);
    }
    // Up to and with `mark`; what is left is for the next call. Empty: the server has closed.
    std::string read_to(std::string_view mark) {
        boost::system::error_code error;
        const auto length = boost::asio::read_until(socket, boost::asio::dynamic_buffer(got), mark, error);
        if (error) return {};
        std::string read = got.substr(0, length);
        got.erase(0, length);
        return read;
    }
    boost::asio::io_context context;
    boost::asio::ip::tcp::socket socket;
    std::string got;
};

inline std::string ask_admin(std::uint16_t port, const std::string& method, const std::string& target,
                             const std::string& fields = "", const std::string& body = "") {
    admin_client to(port);
    to.send(method + ' ' + target + " HTTP/1.1\r\nHost: localhost:" + std::to_string(port) +
            "\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + fields + "\r\n" +
            body);
    return to.read_all();
}
inline int status_of(const std::string& answer) { return answer.size() < 12 ? 0 : std::stoi(answer.substr(9, 3)); }
inline std::string body_of(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }
inline bool has(const std::string& answer, std::string_view text) { return answer.find(text) != std::string::npos; }
// The value of a field; empty: it is not there.
inline std::string field_of(const std::string& answer, const std::string& name) {
    const auto at = answer.find("\r\n" + name + ": ");
    if (at == std::string::npos || at > answer.find("\r\n\r\n")) return {};
    const auto begin = at + name.size() + 4;
    return answer.substr(begin, answer.find("\r\n", begin) - begin);
}

} // namespace evenkeel::test
