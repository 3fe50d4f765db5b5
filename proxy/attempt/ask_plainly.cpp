#include "proxy/attempt/ask_plainly.hpp"

#include "proxy/attempt/upstream_call.hpp"

#include <chrono>

namespace evenkeel::request {

net::task<plain_answer> ask_plainly(net::exchange& over, std::string_view request,
                                    std::function<bool(std::string_view)> on_body) {
    plain_answer answer;
    memory_bound own; // of the one block
    buffer_pool blocks(own);
    const auto call = std::make_shared<upstream_call>(blocks, over);
    const upstream_request asked{.head = request};
    if (!call->send(asked)) co_await call->send_rest();
    std::optional<std::string_view> lost;
    while (!lost) {
        const net::io_result got = co_await call->read_head();
        lost = call->answered(got);
    }
    if (!lost->empty()) co_return answer;
    answer.status = call->head().status;
    answer.keep_alive = std::chrono::seconds{call->head().keep_alive_timeout_seconds};
    call->release_head();
    for (;;) {
        const auto piece = call->ready();
        if (piece && piece->is == upstream_call::piece::kind::data) {
            if (!on_body(piece->data)) co_return answer;
        } else if (piece) {
            answer.whole = piece->is == upstream_call::piece::kind::end;
            answer.reusable = answer.whole && call->is_reusable();
            co_return answer;
        } else {
            const net::io_result got = co_await call->read();
            if (!got.ok() || !call->arrived(got)) co_return answer;
        }
    }
}

} // namespace evenkeel::request
