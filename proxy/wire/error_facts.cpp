#include "proxy/wire/error_facts.hpp"

#include "proxy/wire/find_word.hpp"
#include "proxy/wire/lenient_json.hpp"
#include "proxy/wire/retry_hint.hpp"

#include <boost/json/monotonic_resource.hpp>

#include <string>

namespace evenkeel::wire {

namespace {

namespace json = boost::json;

constexpr std::size_t max_depth = 32; // of errors people write; deeper is not looked at

std::string text_of(const json::value* value, std::size_t limit = 128) {
    if (value == nullptr) return {};
    if (const auto* text = value->if_string()) return std::string{text->data(), std::min(text->size(), limit)};
    if (const auto* number = value->if_int64()) return std::to_string(*number);
    if (const auto* number = value->if_uint64()) return std::to_string(*number);
    return {};
}

const json::object* object_at(const json::object& in, std::string_view name) {
    const json::value* found = in.if_contains(name);
    return found != nullptr ? found->if_object() : nullptr;
}

// Google's `details`: a list of typed objects, of which two matter.
void read_google_details(const json::array& details, error_facts& facts) {
    for (const json::value& each : details) {
        const json::object* detail = each.if_object();
        if (detail == nullptr) continue;
        const std::string delay = text_of(detail->if_contains("retryDelay"));
        if (!facts.retry_delay && delay.size() > 1 && delay.back() == 's') {
            facts.retry_delay = parse_seconds(std::string_view{delay}.substr(0, delay.size() - 1));
        }
        const json::value* violations = detail->if_contains("violations");
        if (violations == nullptr || !violations->is_array()) continue;
        for (const json::value& violation : violations->get_array()) {
            const json::object* const one = violation.if_object();
            if (one == nullptr) continue;
            std::string id = text_of(one->if_contains("quotaId"));
            // Of several the longest counts: a day's quota that is spent is spent for every minute of it.
            if (facts.quota.empty() || id.find("PerDay") != std::string::npos) facts.quota = std::move(id);
        }
    }
}

void read_fields(const json::object& error, error_facts& facts) {
    facts.type = text_of(error.if_contains("type"));
    facts.code = text_of(error.if_contains("code"));
    facts.status = text_of(error.if_contains("status"));
    facts.message = text_of(error.if_contains("message"), max_error_message);
    const json::value* details = error.if_contains("details");
    if (details == nullptr) return;
    if (const json::array* list = details->if_array()) read_google_details(*list, facts);
    if (const json::object* own = details->if_object()) { // Anthropic
        if (std::string code = text_of(own->if_contains("error_code")); !code.empty()) facts.code = std::move(code);
    }
}

bool is_nothing(const json::value& value) {
    if (value.is_null()) return true;
    if (const bool* flag = value.if_bool()) return !*flag;
    if (const json::string* text = value.if_string()) return text->empty();
    if (const json::object* object = value.if_object()) return object->empty();
    if (const json::array* list = value.if_array()) return list->empty();
    return value.is_number() && value.to_number<double>() == 0;
}

bool calls_itself_error(const json::object& top) {
    return text_of(top.if_contains("type")) == "error" || text_of(top.if_contains("object")) == "error";
}

// An error in the place of an answer: OpenRouter and its like answer 200 with a choice that holds nothing else.
const json::object* failed_choice(const json::object& top) {
    const json::value* const found = top.if_contains("choices");
    const json::array* const choices = found != nullptr ? found->if_array() : nullptr;
    const json::object* const first = choices != nullptr && !choices->empty() ? choices->front().if_object() : nullptr;
    if (first == nullptr) return nullptr;
    const json::value* const error = first->if_contains("error");
    const bool failed =
        (error != nullptr && !is_nothing(*error)) || text_of(first->if_contains("finish_reason")) == "error";
    return failed ? first : nullptr;
}

void read_top(const json::object& top, error_facts& facts) {
    const json::value* error = top.if_contains("error");
    if (error != nullptr && !is_nothing(*error)) {
        facts.is_error = true;
        if (const json::object* nested = error->if_object()) return read_fields(*nested, facts);
        facts.message = text_of(error, max_error_message);
        // A bare string, with whatever words stand beside it.
        facts.type = text_of(top.if_contains("type"));
        facts.code = text_of(top.if_contains("code"));
        return;
    }
    if (const json::object* response = object_at(top, "response")) { // response.failed of the Responses API
        const json::object* nested = object_at(*response, "error");
        if (nested != nullptr) {
            facts.is_error = true;
            return read_fields(*nested, facts);
        }
    }
    if (const json::object* const choice = failed_choice(top)) {
        facts.is_error = facts.in_choice = true;
        const json::value* const said = choice->if_contains("error");
        if (const json::object* const nested = object_at(*choice, "error")) return read_fields(*nested, facts);
        facts.message = text_of(said, max_error_message);
        return;
    }
    const bool flat = top.contains("message") || top.contains("detail");
    if (!flat && !calls_itself_error(top)) return;
    facts.is_error = true;
    read_fields(top, facts);
    if (facts.type == "error") facts.type.clear();
    if (facts.message.empty()) facts.message = text_of(top.if_contains("detail"), max_error_message);
}

std::optional<json::value> parse(std::string_view text) {
    // One top-level value, bounded in depth. Memory comes from a buffer here first: errors are small.
    unsigned char buffer[4096];
    json::monotonic_resource memory(buffer, sizeof buffer);
    json::error_code failure;
    const json::value parsed = parse_leniently(text, max_depth, &memory, failure);
    if (failure) return std::nullopt;
    return json::value(parsed, json::storage_ptr{});
}

} // namespace

error_facts read_error(std::string_view text) {
    error_facts facts;
    try {
        const auto parsed = parse(text.substr(0, max_error_body + 1));
        if (!parsed) return facts;
        const json::value* top = &*parsed;
        if (const json::array* list = top->if_array(); list != nullptr && !list->empty()) top = &list->front();
        if (const json::object* object = top->if_object()) read_top(*object, facts);
    } catch (const std::exception&) {
        // Exhaustion: an error that cannot be read is judged by its status.
        facts = {};
    }
    return facts;
}

bool holds_error(std::string_view body) noexcept {
    // A good answer has the word at most inside its text, and then as `\"error\"`.
    if (!has_word(body, "error\"", 1)) return false;
    try {
        if (body.size() > max_error_body) return false; // errors are small; answers that speak of errors need not be
        const auto parsed = parse(body);
        const json::object* top = parsed ? parsed->if_object() : nullptr;
        if (top == nullptr) return false;
        const json::value* error = top->if_contains("error");
        return (error != nullptr && !is_nothing(*error)) || calls_itself_error(*top) || failed_choice(*top) != nullptr;
    } catch (const std::exception&) {
        return false;
    }
}

} // namespace evenkeel::wire
