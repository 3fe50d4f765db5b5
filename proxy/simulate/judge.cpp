#include "proxy/simulate/judge.hpp"

#include "proxy/model/answer_text.hpp"
#include "proxy/wire/find_word.hpp"

#include <optional>
#include <string>

namespace evenkeel::simulate {

using namespace model;

namespace {

// A member's name in its quotes, and where in it two neighbours stand that are rare in the texts here.
struct member {
    std::string_view name;
    std::size_t probe;
};
constexpr member content{R"("content")", 3}, finish_reason{R"("finish_reason")", 6}, error_object{R"("error")", 2};

// The string value of the first member of that name; the texts here hold no escapes.
std::optional<std::string_view> text_of(std::string_view json, const member& which) {
    auto at = wire::find_word(json, which.name, which.probe);
    if (at == std::string_view::npos) return std::nullopt;
    at = json.find_first_not_of(" :", at + which.name.size());
    if (at == std::string_view::npos || json[at] != '"') return std::nullopt;
    const auto end = json.find('"', at + 1);
    if (end == std::string_view::npos) return std::nullopt;
    return json.substr(at + 1, end - at - 1);
}

bool has_error(std::string_view json) { return wire::has_word(json, error_object.name, error_object.probe); }

bool is_whole_stream(std::string_view body, std::string_view nonce) {
    std::string text;
    text.reserve(1024);
    bool finished = false, done = false;
    while (!body.empty()) {
        const auto end = body.find('\n');
        if (end == std::string_view::npos) return false; // an event that was not completed
        const std::string_view line = body.substr(0, end);
        body.remove_prefix(end + 1);
        if (line.empty() || line.front() == ':') continue;
        // Behind the end, or a kind of event that was not asked for.
        if (done || !line.starts_with("data: ")) return false;
        const std::string_view data = line.substr(6);
        if (data == "[DONE]") {
            done = true;
            continue;
        }
        if (has_error(data)) return false;
        if (const auto piece = text_of(data, content)) text += *piece;
        finished = finished || text_of(data, finish_reason) == "stop";
    }
    return done && finished && is_whole_text(text, nonce);
}

bool is_whole_json(std::string_view body, std::string_view nonce) {
    while (!body.empty() && (body.back() == '\n' || body.back() == ' ')) body.remove_suffix(1);
    if (!body.starts_with('{') || !body.ends_with('}') || has_error(body)) return false;
    const auto text = text_of(body, content);
    return text && text_of(body, finish_reason) == "stop" && is_whole_text(*text, nonce);
}

} // namespace

verdict judge(const received_answer& answer, std::string_view nonce) {
    if (answer.status == 0) return verdict::broken;
    if (answer.status != 200) return verdict::error;
    if (!answer.whole) return verdict::broken;
    if (answer.degraded) return verdict::degraded;
    const bool good = answer.stream ? is_whole_stream(answer.body, nonce) : is_whole_json(answer.body, nonce);
    return good ? verdict::success : verdict::broken;
}

} // namespace evenkeel::simulate
