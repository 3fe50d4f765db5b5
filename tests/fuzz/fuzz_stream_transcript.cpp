#include "invariant.hpp"

#include "proxy/wire/stream_transcript.hpp"

#include <string>

using namespace evenkeel;
using fuzz::require;
using wire::stream_transcript;

namespace {
template <class F>
void for_each_event(std::string_view bytes, std::size_t piece, F each) {
    wire::event_splitter splitter;
    std::string all;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        splitter.add(bytes.substr(at, piece));
        while (const auto one = splitter.next()) {
            all += one->raw;
            each(*one);
        }
    }
    if (const auto one = splitter.last()) {
        all += one->raw;
        each(*one);
    }
    require(all == bytes, "events are all the bytes there are");
}
} // namespace

// The first byte picks the dialect and the cut, the second where the first stream ends and the second begins.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    if (size < 2) return 0;
    const auto which = data[0] % 2 == 0 ? wire::dialect::openai : wire::dialect::anthropic;
    const std::string_view bytes(reinterpret_cast<const char*>(data + 2), size - 2);
    const std::string_view one = bytes.substr(0, bytes.size() * data[1] / 255), other = bytes.substr(one.size());
    const std::size_t piece = 1 + data[0] / 2 % 64;

    stream_transcript transcript(which);
    bool error = false;
    for_each_event(one, piece, [&](const wire::stream_event& event) {
        error = transcript.said(event) == stream_transcript::kind::error || error;
    });
    if (!transcript.can_replay()) return 0;
    if (!error) {
        transcript.begin_replay();
        for_each_event(one, 1 + piece / 2, [&](const wire::stream_event& event) {
            const auto how = transcript.replayed(event);
            require(how != stream_transcript::step::differs && how != stream_transcript::step::error,
                    "a stream says the same as itself");
        });
        require(transcript.caught_up(), "a stream catches up with itself");
    }
    transcript.begin_replay();
    for_each_event(other, piece, [&](const wire::stream_event& event) {
        if (transcript.replayed(event) == stream_transcript::step::fresh)
            require(!transcript.text().empty(), "what is fresh has bytes");
    });
    return 0;
}
