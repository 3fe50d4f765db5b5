#include "proxy/wire/upcast_request.hpp"

#include "proxy/wire/calls.hpp"
#include "proxy/wire/json_model.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace evenkeel::wire {

namespace {
constexpr std::size_t most_request_members = 128; // of a request; real ones have up to about 40

// Members whose being there (other than as null) changes what is answered beyond what streams are known to say.
constexpr std::array<std::string_view, 14> not_for_chat{"top_logprobs",       "audio",
                                                        "modalities",         "stream_options",
                                                        "web_search_options", "best_of",
                                                        "use_beam_search",    "echo",
                                                        "prompt_logprobs",    "return_token_ids",
                                                        "kv_transfer_params", "plugins",
                                                        "transforms",         "search_parameters"};
constexpr std::array<std::string_view, 3> not_for_messages{"mcp_servers", "container", "context_management"};

struct edit {
    std::string_view at; // what is replaced, within the body
    std::string_view by;
};
} // namespace

std::optional<dialect> upcast_dialect(dialect which, std::string_view target, std::size_t base) noexcept {
    const call* const of = find_call(target.substr(0, target.find('?')), base);
    if (of == nullptr || !of->upcasts || of->speaks != which) return std::nullopt;
    return which;
}

std::optional<std::string> upcast_request(dialect which, std::string_view body) {
    const bool chat = which == dialect::openai;
    const auto members = list_members(body, most_request_members);
    if (members.empty()) return std::nullopt;
    const std::span<const std::string_view> ruled_out =
        chat ? std::span<const std::string_view>{not_for_chat} : std::span<const std::string_view>{not_for_messages};

    edit stream{{}, "true"}, options{{}, R"({"include_usage":true})"};
    for (auto one = members.begin(); one != members.end(); ++one) {
        if (std::any_of(members.begin(), one, [&](const json_member& other) { return other.name == one->name; }))
            return std::nullopt;
        const bool nothing = one->value == "null";
        if (one->name == "stream") {
            if (!nothing && one->value != "false") return std::nullopt;
            stream.at = one->value;
        } else if (chat && one->name == "stream_options" && nothing) {
            options.at = one->value;
        } else if (chat && one->name == "n") {
            if (!nothing && one->value != "1") return std::nullopt;
        } else if (chat && one->name == "logprobs") {
            if (!nothing && one->value != "false") return std::nullopt;
        } else if (!nothing && std::find(ruled_out.begin(), ruled_out.end(), one->name) != ruled_out.end()) {
            return std::nullopt;
        }
    }

    std::string out;
    out.reserve(body.size() + 64);
    std::size_t taken = 0;
    const auto offset = [&](std::string_view part) { return static_cast<std::size_t>(part.data() - body.data()); };
    std::array<const edit*, 2> order{&stream, &options};
    if (!options.at.empty() && !stream.at.empty() && options.at.data() < stream.at.data())
        std::swap(order[0], order[1]);
    for (const edit* one : order) {
        if (one->at.empty()) continue;
        out.append(body, taken, offset(one->at) - taken).append(one->by);
        taken = offset(one->at) + one->at.size();
    }
    const std::string_view last = members.back().value;
    const std::size_t end = offset(last) + last.size(); // of the last member: what is new stands behind it
    out.append(body, taken, end - taken);
    if (stream.at.empty()) out.append(R"(,"stream":)").append(stream.by);
    if (chat && options.at.empty()) out.append(R"(,"stream_options":)").append(options.by);
    return out.append(body, end);
}

} // namespace evenkeel::wire
