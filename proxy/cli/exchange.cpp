#include "proxy/cli/exchange.hpp"

#include "proxy/net/tls_context.hpp"
#include "proxy/wire/content_decoder.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <exception>
#include <functional>
#include <future>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace evenkeel::cli {

namespace {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using error_code = boost::system::error_code;
using steady_clock = std::chrono::steady_clock;

constexpr int most_informational = 8; // 1xx in front of an answer (chosen)

struct looked_up {
    std::vector<tcp::endpoint> at;
    error_code error;
};

// The system's resolver cannot be told to stop, so it is left behind where it takes too long.
std::optional<looked_up> look_up(const std::string& host, std::uint16_t port, steady_clock::time_point until) {
    auto promised = std::make_shared<std::promise<looked_up>>();
    auto answer = promised->get_future();
    std::thread([promised, host, port] {
        looked_up out;
        asio::io_context context;
        tcp::resolver resolver(context);
        const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::numeric_service, out.error);
        for (const auto& each : found) out.at.push_back(each.endpoint());
        promised->set_value(std::move(out));
    }).detach();
    if (answer.wait_until(until) != std::future_status::ready) return std::nullopt;
    return answer.get();
}

struct gave_up : std::runtime_error {
    explicit gave_up(const std::string& why, bool time = false) : std::runtime_error(why), timed_out(time) {}
    bool timed_out;
};

// What a server compresses that was not asked to, the proxy reads as well.
std::string text_of(std::string body, std::string_view coding, std::size_t most) {
    if (!wire::content_decoder::knows(coding)) return body;
    wire::content_decoder decoder(coding);
    decoder.take(body);
    std::string text;
    while (text.size() < most) {
        const auto some = decoder.next();
        if (!some) break;
        text += *some;
    }
    return text;
}

class one_exchange {
public:
    one_exchange(const config::upstream& to, steady_clock::time_point until) : to_(to), until_(until) {}

    void run(std::string_view head, std::string_view body, exchanged& out) {
        const config::url& first = to_.proxy ? *to_.proxy : to_.address;
        // One of several addresses that DNS gives stands for its name.
        const std::string& host = !to_.proxy && !to_.endpoint.address.empty() ? to_.endpoint.address : first.host;
        out.stage = stage_reached::resolve;
        const auto found = look_up(host, first.port, until_);
        if (!found) throw gave_up("the name is not looked up in time", true);
        if (found->error || found->at.empty()) throw gave_up(fmt::format("no address for '{}'", host));
        out.stage = stage_reached::connect;
        connect(found->at);
        if (to_.proxy) {
            out.stage = stage_reached::tunnel;
            open_tunnel();
        }
        if (to_.address.tls) {
            out.stage = stage_reached::tls;
            greet();
            out.stage = stage_reached::answer;
            ask(*tls_, head, body, out);
        } else {
            out.stage = stage_reached::answer;
            ask(*plain_, head, body, out);
        }
        out.stage = stage_reached::done;
    }

private:
    // Runs what was started to its end, or to the deadline.
    void finish(const error_code& of, const char* what) {
        context_.restart();
        context_.run();
        if (of == beast::error::timeout) throw gave_up(fmt::format("{}: nothing in time", what), true);
    }
    void deadline() { beast::get_lowest_layer(*plain_).expires_at(until_); }

    void connect(const std::vector<tcp::endpoint>& at) {
        plain_.emplace(context_);
        deadline();
        error_code error;
        plain_->async_connect(at, [&](const error_code& e, const tcp::endpoint&) { error = e; });
        finish(error, "no connection");
        if (error) throw gave_up(error.message());
    }

    void open_tunnel() {
        const std::string target = fmt::format("{}:{}", to_.address.host, to_.address.port);
        const http::request<http::empty_body> request = [&] {
            http::request<http::empty_body> made{http::verb::connect, target, 11};
            made.set(http::field::host, target);
            return made;
        }();
        http::response_parser<http::empty_body> parser;
        parser.skip(true);
        beast::flat_buffer buffer;
        error_code error;
        http::async_write(*plain_, request, [&](const error_code& e, std::size_t) {
            error = e;
            if (!e)
                http::async_read_header(*plain_, buffer, parser, [&](const error_code& f, std::size_t) { error = f; });
        });
        finish(error, "the egress proxy");
        if (error) throw gave_up(error.message());
        if (parser.get().result_int() / 100 != 2)
            throw gave_up(fmt::format("the egress proxy answers {}", parser.get().result_int()));
    }

    void greet() {
        const net::tls_client_context settings(to_.tls);
        // Sessions are for those who come again, and who keeps them is not there.
        SSL_CTX_sess_set_new_cb(settings.native(), nullptr);
        SSL_CTX_up_ref(settings.native());
        contexts_.emplace_back(settings.native());
        tls_.emplace(std::move(*plain_), contexts_.back());
        plain_.reset();
        SSL* const session = tls_->native_handle();
        std::string name = to_.tls.server_name.empty() ? to_.address.host : to_.tls.server_name;
        error_code no_address;
        asio::ip::make_address(name, no_address);
        if (no_address) // SSL_set_tlsext_host_name without its C cast
            SSL_ctrl(session, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
        if (to_.tls.verify) {
            SSL_set_verify(session, SSL_VERIFY_PEER, nullptr);
            if (no_address)
                SSL_set1_host(session, name.c_str());
            else
                X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), name.c_str());
        }
        beast::get_lowest_layer(*tls_).expires_at(until_);
        error_code error;
        tls_->async_handshake(asio::ssl::stream_base::client, [&](const error_code& e) { error = e; });
        finish(error, "the handshake");
        if (!error) return;
        const long verdict = SSL_get_verify_result(session);
        throw gave_up(verdict != X509_V_OK
                          ? fmt::format("certificate of '{}': {}", name, X509_verify_cert_error_string(verdict))
                          : error.message());
    }

    template <class Stream>
    void ask(Stream& stream, std::string_view head, std::string_view body, exchanged& out) {
        constexpr std::size_t most = 64 * 1024; // no answer to what we ask is longer
        std::optional<http::response_parser<http::string_body>> answer;
        const auto begin = [&] {
            answer.emplace();
            answer->body_limit(std::numeric_limits<std::uint64_t>::max());
        };
        begin();
        int informational = 0;
        beast::flat_buffer buffer;
        error_code error;
        const std::array<asio::const_buffer, 2> bytes{asio::buffer(head.data(), head.size()),
                                                      asio::buffer(body.data(), body.size())};
        const auto is_informational = [&] { // 101 is none: nobody asked for another protocol
            const unsigned status = answer->is_header_done() ? answer->get().result_int() : 0;
            return status / 100 == 1 && status != 101;
        };
        const std::function<void(const error_code&, std::size_t)> go_on = [&](const error_code& e, std::size_t) {
            error = e;
            if (e) return;
            if (answer->is_done() && is_informational() && ++informational <= most_informational) begin();
            if (!answer->is_done() && answer->get().body().size() < most)
                http::async_read_some(stream, buffer, *answer, go_on);
        };
        asio::async_write(stream, bytes, go_on);
        finish(error, "no answer");
        const auto& parser = *answer;
        const std::string& read = parser.get().body();
        const bool answered = parser.is_header_done() && !is_informational();
        if (!answered)
            throw gave_up(error == http::error::end_of_stream ? "the connection was closed without an answer"
                                                              : "no HTTP answer: " + error.message());
        out.status = static_cast<int>(parser.get().result_int());
        out.content_type = std::string(parser.get()[http::field::content_type]);
        out.body = text_of(read.substr(0, most), parser.get()[http::field::content_encoding], most);
        if (error && !parser.is_done() && read.size() < most) throw gave_up("the answer broke off: " + error.message());
    }

    const config::upstream& to_;
    steady_clock::time_point until_;
    asio::io_context context_{1};
    std::vector<asio::ssl::context> contexts_;
    std::optional<beast::tcp_stream> plain_;
    std::optional<beast::ssl_stream<beast::tcp_stream>> tls_;
};
} // namespace

exchanged exchange(const config::upstream& to, std::string_view head, std::string_view body,
                   std::chrono::milliseconds within) {
    const auto began = steady_clock::now();
    exchanged out;
    try {
        one_exchange(to, began + within).run(head, body, out);
    } catch (const gave_up& why) {
        out.problem = why.what();
        out.timed_out = why.timed_out;
    } catch (const std::exception& why) { // a file of `tls` that is not there
        out.problem = why.what();
    }
    out.took = steady_clock::now() - began;
    return out;
}

} // namespace evenkeel::cli
