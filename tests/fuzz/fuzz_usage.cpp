#include "invariant.hpp"

#include "proxy/wire/usage.hpp"
#include "proxy/wire/usage_request.hpp"

#include <string>

using namespace evenkeel;
using fuzz::require;

// The first byte says whose answer it is and how it is cut.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    if (size < 2) return 0;
    const auto spoken = static_cast<wire::dialect>(data[0] % 5);
    const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
    wire::usage whole, end, event;
    const bool told = wire::read_usage(spoken, bytes, whole);
    require(told == whole.tells_any(), "what is told is there");
    wire::read_usage_at_end(spoken, bytes, data[0] % 2 == 0, end);
    wire::read_event_usage(spoken, {}, bytes, event);
    for (std::size_t i = 0; i < wire::usage::part_count; ++i) {
        const auto part = static_cast<wire::usage::part>(i);
        for (const wire::usage& one : {whole, end, event})
            require(one.at(part) <= wire::usage::most_tokens, "no more is believed than anybody takes");
    }
    require(wire::text_size(spoken, bytes) <= 3 * bytes.size(), "text is no more than there is");

    if (const auto edit = wire::ask_for_usage(bytes)) {
        require(edit->at + edit->size <= bytes.size(), "an edit lies within the body");
        const std::string asked = std::string{bytes}.replace(edit->at, edit->size, edit->by);
        require(!wire::ask_for_usage(asked), "what asks is not asked again");
    }
    wire::event_splitter events;
    events.add(bytes);
    while (const auto one = events.next()) {
        const auto rest = wire::without_usage(*one);
        require(!rest || rest->size() < one->raw.size() + 4, "what is taken out makes an event no longer");
    }
    return 0;
}
