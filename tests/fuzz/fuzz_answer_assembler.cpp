#include "invariant.hpp"

#include "proxy/wire/answer_assembler.hpp"
#include "proxy/wire/json_model.hpp"
#include "proxy/wire/upcast_request.hpp"

#include <algorithm>

using namespace evenkeel;
using fuzz::require;

namespace {
struct outcome {
    std::optional<std::string> answer;
    std::uint64_t held = 0;
};

outcome assemble(wire::dialect which, std::string_view bytes, std::size_t piece) {
    wire::answer_assembler assembler(which);
    bool good = true;
    for (std::size_t at = 0; good && at < bytes.size(); at += piece) good = assembler.add(bytes.substr(at, piece));
    good = good && assembler.end();
    if (!good) require(!assembler.answer(), "what was refused has no answer");
    return {good ? assembler.answer() : std::nullopt, assembler.size()};
}
} // namespace

// The first byte picks the dialect and the cut.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    if (size < 1) return 0;
    const auto which = data[0] % 2 == 0 ? wire::dialect::openai : wire::dialect::anthropic;
    const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);

    const outcome whole = assemble(which, bytes, std::max<std::size_t>(bytes.size(), 1)),
                  cut = assemble(which, bytes, 1 + data[0] / 2 % 64);
    require(whole.answer == cut.answer, "the cut does not matter");
    if (whole.answer) {
        require(wire::is_json(*whole.answer), "an answer is JSON");
        require(whole.answer->size() <= bytes.size() + 512, "an answer is no longer than its stream");
    }

    if (const auto request = wire::upcast_request(which, bytes)) {
        require(wire::find_members(*request).stream == true, "an upcast request asks for a stream");
        require(!wire::upcast_request(which, *request), "... and is none to be upcast");
    }
    return 0;
}
