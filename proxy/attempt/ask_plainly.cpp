#include "proxy/attempt/ask_plainly.hpp"

#include "proxy/wire/chunk_decoder.hpp"
#include "proxy/wire/gate.hpp"

#include <boost/asio/buffer.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace evenkeel::request {

namespace {
// The body of one answer, as its bytes come.
class body_reader {
public:
    explicit body_reader(const wire::body_framing& framing) noexcept : framing_(framing), left_(framing.length) {}

    enum class state : unsigned char { more, whole, ended }; // ended: broken, or no more is wanted
    state read(std::string& unread, const std::function<bool(std::string_view)>& on_body) {
        switch (framing_.kind) {
        case wire::body_kind::none: return state::whole;
        case wire::body_kind::until_close: return pass(unread, unread.size(), on_body) ? state::more : state::ended;
        case wire::body_kind::length: {
            const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, unread.size()));
            left_ -= size;
            if (!pass(unread, size, on_body)) return state::ended;
            return left_ == 0 ? state::whole : state::more;
        }
        case wire::body_kind::chunked: break;
        }
        for (;;) {
            const auto step = decoder_.next(unread);
            const bool wanted = step.data.empty() || on_body(step.data);
            unread.erase(0, step.consumed);
            if (!wanted || step.is == wire::chunk_decoder::state::refused) return state::ended;
            if (step.is == wire::chunk_decoder::state::done) return state::whole;
            if (step.is == wire::chunk_decoder::state::need_more) return state::more;
        }
    }

private:
    static bool pass(std::string& unread, std::size_t size, const std::function<bool(std::string_view)>& on_body) {
        const bool wanted = size == 0 || on_body(std::string_view{unread}.substr(0, size));
        unread.erase(0, size);
        return wanted;
    }

    wire::body_framing framing_;
    std::uint64_t left_;
    wire::chunk_decoder decoder_;
};
} // namespace

net::task<plain_answer> ask_plainly(net::exchange& over, std::string_view request,
                                    std::function<bool(std::string_view)> on_body) {
    plain_answer answer;
    const std::array parts{boost::asio::const_buffer(request.data(), request.size())};
    if (const auto sent = co_await over.write(parts); !sent.ok()) co_return answer;

    std::array<char, 4096> block;
    std::string unread;
    std::size_t scanned = 0;
    wire::response_head head;
    std::optional<body_reader> body;
    bool keep_alive = false;
    for (;;) {
        while (!body) {
            const auto result = wire::read_response_head(unread, {}, scanned, {}, head);
            if (result.is == wire::head_result::state::refused) co_return answer;
            if (result.is == wire::head_result::state::need_more) break;
            if (head.status >= 200) {
                answer.status = head.status;
                keep_alive = head.keep_alive;
                answer.keep_alive = std::chrono::seconds{head.keep_alive_timeout_seconds};
                body.emplace(head.body);
            }
            unread.erase(0, result.consumed);
            scanned = 0;
        }
        if (body) {
            const auto state = body->read(unread, on_body);
            if (state == body_reader::state::ended) co_return answer;
            if (state == body_reader::state::whole) {
                answer.whole = true;
                answer.reusable = keep_alive && unread.empty();
                co_return answer;
            }
        }
        const net::io_result got = co_await over.read_some(boost::asio::buffer(block));
        if (!got.ok()) co_return answer;
        unread.append(block.data(), got.bytes);
    }
}

} // namespace evenkeel::request
