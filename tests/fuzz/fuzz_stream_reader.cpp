#include "invariant.hpp"

#include "proxy/wire/stream_reader.hpp"

using namespace evenkeel;
using fuzz::require;

namespace {
// The first byte says how the rest is read, the second how it is split.
void read_split(wire::stream_reader& reader, std::string_view bytes, unsigned pattern) {
    while (!bytes.empty()) {
        const std::size_t size = std::min<std::size_t>(bytes.size(), 1 + pattern % 13);
        pattern = pattern * 1664525U + 1013904223U;
        static_cast<void>(reader.read(bytes.substr(0, size)));
        bytes.remove_prefix(size);
    }
}
} // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    if (size < 2) return 0;
    const auto format = static_cast<wire::stream_format>(data[0] % 3);
    const auto which = static_cast<wire::dialect>(data[0] / 4 % 5);
    const std::string_view bytes(reinterpret_cast<const char*>(data + 2), size - 2);
    wire::stream_reader whole(format, which, true), split(format, which, true);
    static_cast<void>(whole.read(bytes));
    read_split(split, bytes, data[1]);
    for (int end = 0; end < 2; ++end) {
        require(whole.has_terminal() == split.has_terminal(), "splits do not change whether a stream is whole");
        require(whole.has_error() == split.has_error(), "splits do not change whether an error was seen");
        require(whole.meaningful_events() == split.meaningful_events(), "splits do not change the count");
        require(whole.between_events() == split.between_events(), "splits do not change where an event may go");
        require(whole.knows_terminal() == split.knows_terminal(), "splits do not change what is known of the end");
        require(whole.spoken() == split.spoken(), "splits do not change the dialect");
        require(whole.told() == split.told(), "splits do not change what it took");
        require(whole.text_bytes() == split.text_bytes(), "splits do not change how much it has said");
        require(whole.error().message == split.error().message, "splits do not change the error");
        require(static_cast<int>(whole.end()) == static_cast<int>(split.end()), "splits do not change the last event");
    }
    return 0;
}
