#include "invariant.hpp"

#include "proxy/wire/error_facts.hpp"

using namespace evenkeel;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    const wire::error_facts facts = wire::read_error(body);
    require(facts.message.size() <= wire::max_error_message, "a message is bounded");
    require(facts.type.size() <= 128 && facts.code.size() <= 128 && facts.status.size() <= 128 &&
                facts.quota.size() <= 128,
            "words are bounded");
    require(!facts.retry_delay || *facts.retry_delay > duration::zero(), "a delay is positive");
    const bool held = wire::holds_error(body);
    require(!held || facts.is_error, "what holds an error is one");
    for (const int status : {200, 400, 401, 429, 500, 503, 529}) {
        const verdict answer = classify_answer(status, facts.words(), std::nullopt, std::chrono::seconds{60});
        require((status < 400) == (answer.kind == outcome_kind::answered), "only a status below 400 is an answer");
    }
    const verdict embedded = classify_embedded(facts.words(), std::chrono::seconds{60});
    require(embedded.kind != outcome_kind::answered, "an error is never an answer");
    return 0;
}
