// The two heads of a plain request, read by the gates that ship, as often as asked: what callgrind counts to compare
// scanners. bench_heads reads the lines of a head as the proxy does, bench_heads_beast has Boost.Beast's parser do it.
//
//   bench_heads request|response TIMES

#include "workload.hpp"

#include "proxy/wire/gate.hpp"

#include <cstdlib>

namespace {

template <class Head, class Read>
bool read_often(const std::string& bytes, std::uint64_t times, Read read) {
    const std::size_t size = bytes.find("\r\n\r\n") + 4;
    Head head; // one for a connection, as its buffers are
    bool whole = true;
    for (std::uint64_t i = 0; i < times; ++i) {
        std::size_t scanned = 0;
        whole &= read(std::string_view{bytes}, scanned, head).consumed == size && head.fields.size() > 5;
    }
    return whole;
}

} // namespace

int main(int argc, char** argv) {
    using namespace evenkeel;
    if (argc != 3) return 2;
    const std::uint64_t times = std::strtoull(argv[2], nullptr, 10);
    const wire::head_limits limits;
    const bool whole =
        std::string_view{argv[1]} == "request"
            ? read_often<wire::request_head>(bench::request_bytes("127.0.0.1:8080", {}), times,
                                             [&](std::string_view bytes, std::size_t& scanned, auto& head) {
                                                 return wire::read_request_head(bytes, limits, scanned, head);
                                             })
            : read_often<wire::response_head>(bench::answer_bytes(), times,
                                              [&](std::string_view bytes, std::size_t& scanned, auto& head) {
                                                  return wire::read_response_head(bytes, limits, scanned, {}, head);
                                              });
    return whole ? 0 : 1;
}
