#include "proxy/simulate/direct_client.hpp"

#include "proxy/wire/chunk_decoder.hpp"
#include "proxy/wire/gate.hpp"

#include <boost/asio/buffer.hpp>

#include <array>

namespace evenkeel::simulate {

net::task<direct_answer> ask_directly(net::exchange& over, std::string_view request, std::string& body, direct_listener& listener) {
    direct_answer answer;
    const std::array parts{boost::asio::const_buffer(request.data(), request.size())};
    if (const auto sent = co_await over.write(parts); !sent.ok()) co_return answer;

    std::array<char, 4096> block;
    std::string unread;
    std::size_t scanned = 0;
    wire::response_head head;
    wire::body_framing framing;
    wire::chunk_decoder decoder;
    for (;;) {
        if (answer.status == 0) {
            const auto result = wire::read_response_head(unread, {}, scanned, {}, head);
            if (result.is == wire::head_result::state::refused) co_return answer;
            if (result.is == wire::head_result::state::complete) {
                answer.status = head.status;
                framing = head.body;
                unread.erase(0, result.consumed);
            }
        }
        if (answer.status != 0) {
            const std::size_t before = body.size();
            if (framing.kind == wire::body_kind::chunked) {
                for (;;) {
                    const auto step = decoder.next(unread);
                    body.append(step.data);
                    unread.erase(0, step.consumed);
                    answer.whole = step.is == wire::chunk_decoder::state::done;
                    if (step.is == wire::chunk_decoder::state::refused) co_return answer;
                    if (answer.whole || step.is == wire::chunk_decoder::state::need_more) break;
                }
            } else {
                body.append(unread);
                unread.clear();
                answer.whole = framing.kind == wire::body_kind::none || (framing.kind == wire::body_kind::length && body.size() >= framing.length);
            }
            if (body.size() > before) listener.on_body(body);
            if (answer.whole) co_return answer;
        }
        const net::io_result got = co_await over.read_some(boost::asio::buffer(block));
        if (!got.ok()) co_return answer;
        unread.append(block.data(), got.bytes);
    }
}

} // namespace evenkeel::simulate
