#include "proxy/provider/answers.hpp"

#include "proxy/provider/text.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace evenkeel::provider {

namespace {

namespace json = boost::json;

// FNV-1a, 64 bits: ids have to differ and to repeat, not to resist anyone.
std::uint64_t hash_of(std::string_view text, std::uint64_t hash = 14695981039346656037ULL) noexcept {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    return hash;
}

std::string hex(std::uint64_t value) {
    std::string out(16, '0');
    for (std::size_t i = 16; i-- > 0; value >>= 4U) out[i] = "0123456789abcdef"[value & 15U];
    return out;
}

constexpr std::array<std::string_view, 10> plain_words{"the",  "ship",    "keeps", "an",    "even",
                                                       "keel", "through", "every", "rough", "sea"};
constexpr std::array<std::string_view, 6> wide_words{"Grüße", "日本語", "👩‍🚀", "naïve", "Ελληνικά", "𝄞♫"};

// Cuts `text` into `count` parts of about equal length, never within a code point.
std::vector<std::string> cut(std::string_view text, std::size_t count) {
    std::vector<std::string> out;
    std::size_t from = 0;
    for (std::size_t i = 1; i <= count; ++i) {
        std::size_t to = text.size() * i / count;
        while (to < text.size() && (static_cast<unsigned char>(text[to]) & 0xC0U) == 0x80U) ++to;
        out.emplace_back(text.substr(from, std::max(to, from) - from));
        from = std::max(to, from);
    }
    return out;
}

// Everything an answer is made of, found once.
class composer {
public:
    composer(const provider_request& request, const provider_script& script)
        : request_(request), script_(script), path_(api_path(request.target)) {
        hash_ = hash_of(request.body, hash_of(path_));
        nonce_ = find_nonce(request.body);
        answer_.dialect = path_.starts_with("/v1/messages") ? provider_dialect::anthropic : provider_dialect::openai;
    }

    provider_answer compose() {
        const bool scripted_error = script_.error != error_kind::none && script_.error_after < 0;
        const bool error_status = script_.status != 0 && (script_.status < 200 || script_.status > 299);
        if (scripted_error || error_status) {
            error(script_.error != error_kind::none ? script_.error : kind_of_status(script_.status), script_.status);
        } else {
            succeed();
            if (script_.status != 0 && answer_.status == 200) answer_.status = script_.status;
        }
        if (script_.body) replace_body(*script_.body);
        if (!script_.content_type.empty()) answer_.content_type = script_.content_type;
        add_headers();
        return std::move(answer_);
    }

private:
    void succeed() {
        if (path_.starts_with("/bytes/")) return bytes();
        if (path_ == "/v1/models" || path_.starts_with("/v1/models/")) return models();
        const bool known = path_ == "/v1/chat/completions" || path_ == "/v1/completions" || path_ == "/v1/responses" ||
                           path_ == "/v1/embeddings" || path_ == "/v1/messages" || path_ == "/v1/messages/count_tokens";
        if (!known) return error(error_kind::not_found, 404);
        if (request_.method != "POST") return error(error_kind::invalid, 405);
        boost::system::error_code failed;
        json::value parsed = json::parse({request_.body.data(), request_.body.size()}, failed);
        if (failed || !parsed.is_object()) return error(error_kind::invalid, 400);
        const json::object& in = parsed.as_object();
        if (const auto* model = in.if_contains("model"); model != nullptr && model->is_string())
            model_ = model->as_string();
        if (model_ == "no-such-model") return error(error_kind::not_found, 404);
        const auto* stream = in.if_contains("stream");
        answer_.stream = stream != nullptr && stream->is_bool() && stream->as_bool();
        plan_pieces(in);
        if (path_ != "/v1/messages/count_tokens") answer_.input_tokens = prompt_tokens();
        if (path_ != "/v1/messages/count_tokens" && path_ != "/v1/embeddings") answer_.output_tokens = count_;
        if (path_ == "/v1/chat/completions")
            answer_.stream ? chat_stream(in) : chat(in);
        else if (path_ == "/v1/completions")
            answer_.stream ? completion_stream() : completion();
        else if (path_ == "/v1/responses")
            answer_.stream ? responses_stream() : responses();
        else if (path_ == "/v1/embeddings")
            embeddings(in);
        else if (path_ == "/v1/messages")
            answer_.stream ? messages_stream() : messages();
        else
            answer_.body = "{\"input_tokens\":" + std::to_string(prompt_tokens()) + "}";
        if (answer_.stream) {
            answer_.content_type = "text/event-stream; charset=utf-8";
            drop_terminal();
        }
    }

    void plan_pieces(const json::object& in) {
        count_ = static_cast<std::size_t>(std::max(script_.events, 0));
        for (const char* key : {"max_tokens", "max_completion_tokens", "max_output_tokens"})
            if (const auto* value = in.if_contains(key); value != nullptr && value->is_int64())
                if (const auto limit = static_cast<std::size_t>(std::max<std::int64_t>(value->as_int64(), 0));
                    limit < count_) {
                    count_ = limit;
                    cut_short_ = true;
                }
        tool_ = tool_name(in);
        if (!tool_.empty()) {
            std::string steps;
            for (std::size_t i = 0; i < count_; ++i) steps += (i == 0 ? "" : ",") + std::to_string(i);
            arguments_ = "{\"nonce\":" + quoted(nonce_) + ",\"place\":\"" +
                         (script_.unicode ? "Zürich 日本" : "Zurich") + "\",\"steps\":[" + steps + "]}";
            pieces_ = cut(arguments_, std::max<std::size_t>(count_, 1));
            return;
        }
        std::size_t width = script_.piece_bytes;
        if (script_.text_bytes > 0 && count_ > 0) width = (script_.text_bytes + count_ - 1) / count_;
        for (std::size_t i = 0; i < count_; ++i) {
            std::string piece = nonce_.empty() ? std::string{} : "[" + nonce_ + ":" + std::to_string(i) + "] ";
            piece += script_.unicode ? wide_words[i % wide_words.size()] : plain_words[i % plain_words.size()];
            piece += ' ';
            for (std::size_t k = 0; piece.size() < width; ++k) piece += static_cast<char>('a' + k % 26);
            pieces_.push_back(std::move(piece));
        }
    }

    // The tool the answer calls: the first one offered, unless the caller forbids it or has just handed in its result.
    std::string tool_name(const json::object& in) const {
        const auto* tools = in.if_contains("tools");
        if (tools == nullptr || !tools->is_array() || tools->as_array().empty()) return {};
        if (const auto* choice = in.if_contains("tool_choice"))
            if ((choice->is_string() && choice->as_string() == "none") ||
                (choice->is_object() && choice->as_object().contains("type") &&
                 choice->at("type") == json::value("none")))
                return {};
        if (request_.body.find("\"role\":\"tool\"") != std::string_view::npos ||
            request_.body.find("\"tool_result\"") != std::string_view::npos ||
            request_.body.find("\"function_call_output\"") != std::string_view::npos)
            return {};
        const auto& first = tools->as_array().front();
        if (!first.is_object()) return {};
        const json::object* holder = &first.as_object();
        if (const auto* function = holder->if_contains("function"); function != nullptr && function->is_object())
            holder = &function->as_object();
        const auto* name = holder->if_contains("name");
        return name != nullptr && name->is_string() ? std::string{name->as_string()} : std::string{};
    }

    std::string text() const {
        std::string out;
        for (const auto& piece : pieces_) out += piece;
        return out;
    }
    std::size_t prompt_tokens() const { return request_.body.size() / 4 + 1; }
    std::string id(std::string_view prefix) const { return std::string{prefix} + hex(hash_); }

    std::string finish_reason() const {
        const bool openai = answer_.dialect == provider_dialect::openai;
        if (!script_.finish.empty()) return script_.finish;
        if (!tool_.empty()) return openai ? "tool_calls" : "tool_use";
        if (cut_short_) return openai ? "length" : "max_tokens";
        return openai ? "stop" : "end_turn";
    }

    // One event: `event: NAME` if named, and the object, with the stamp as its last member.
    void push(event_role role, std::string_view name, std::string object) {
        stream_event event;
        event.role = role;
        if (!name.empty()) event.text.append("event: ").append(name).append("\n");
        event.text += "data: ";
        if (script_.stamp) {
            object.pop_back();
            object += ",\"sim\":{\"sent_ns\":\"";
            event.stamp_at = event.text.size() + object.size();
            object += std::string(20, '0') + "\",\"seq\":" + std::to_string(answer_.events.size()) +
                      ",\"attempt\":" + std::to_string(request_.serial) + "}}";
        }
        event.text += object;
        event.text += "\n\n";
        answer_.events.push_back(std::move(event));
    }
    void push_done() { answer_.events.push_back({event_role::terminal, "data: [DONE]\n\n"}); }

    void drop_terminal() {
        const bool keep_done = script_.terminal == terminal_part::all || script_.terminal == terminal_part::done;
        const bool keep_finish = script_.terminal == terminal_part::all || script_.terminal == terminal_part::finish;
        std::erase_if(answer_.events, [&](const stream_event& event) {
            return (event.role == event_role::terminal && !keep_done) ||
                   ((event.role == event_role::finish || event.role == event_role::usage) && !keep_finish);
        });
    }

    std::string usage() const {
        const auto in = prompt_tokens();
        return "{\"prompt_tokens\":" + std::to_string(in) + ",\"completion_tokens\":" + std::to_string(count_) +
               ",\"total_tokens\":" + std::to_string(in + count_) +
               ",\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":"
               "{\"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_"
               "tokens\":0}}";
    }

    std::string envelope(std::string_view prefix, std::string_view object) const {
        return "{\"id\":\"" + id(prefix) + "\",\"object\":\"" + std::string{object} +
               "\",\"created\":1767225600,\"model\":" + quoted(model_) +
               ",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_sim\"";
    }

    static std::size_t choices(const json::object& in) {
        const auto* n = in.if_contains("n");
        return n != nullptr && n->is_int64() ? static_cast<std::size_t>(std::clamp<std::int64_t>(n->as_int64(), 1, 16))
                                             : 1;
    }

    void chat(const json::object& in) {
        std::string& out = answer_.body;
        out = envelope("chatcmpl-", "chat.completion") + ",\"choices\":[";
        for (std::size_t i = 0; i < choices(in); ++i) {
            out += (i == 0 ? "" : ",") + std::string{"{\"index\":"} + std::to_string(i) +
                   ",\"message\":{\"role\":\"assistant\",";
            if (tool_.empty())
                out += "\"content\":" + quoted(text()) + ",\"refusal\":null,\"annotations\":[]}";
            else
                out += "\"content\":null,\"tool_calls\":[{\"id\":\"" + id("call_") +
                       "\",\"type\":\"function\",\"function\":{\"name\":" + quoted(tool_) +
                       ",\"arguments\":" + quoted(arguments_) + "}}],\"refusal\":null}";
            out += ",\"logprobs\":null,\"finish_reason\":" + quoted(finish_reason()) + "}";
        }
        out += "],\"usage\":" + usage() + "}";
    }

    void chat_stream(const json::object& in) {
        bool with_usage = false;
        if (const auto* options = in.if_contains("stream_options"); options != nullptr && options->is_object())
            if (const auto* wanted = options->as_object().if_contains("include_usage"))
                with_usage = wanted->is_bool() && wanted->as_bool();
        const auto chunk = [&](event_role role, std::size_t index, const std::string& delta,
                               const std::string& reason) {
            push(role, {},
                 envelope("chatcmpl-", "chat.completion.chunk") + ",\"choices\":[{\"index\":" + std::to_string(index) +
                     ",\"delta\":" + delta + ",\"logprobs\":null,\"finish_reason\":" + reason + "}]" +
                     (with_usage ? ",\"usage\":null}" : "}"));
        };
        const auto n = choices(in);
        for (std::size_t i = 0; i < n; ++i) {
            if (tool_.empty())
                chunk(event_role::preamble, i, R"({"role":"assistant","content":"","refusal":null})", "null");
            else
                chunk(event_role::content, i,
                      R"({"role":"assistant","content":null,"tool_calls":[{"index":0,"id":")" + id("call_") +
                          R"(","type":"function","function":{"name":)" + quoted(tool_) +
                          R"(,"arguments":""}}],"refusal":null})",
                      "null");
        }
        for (const auto& piece : pieces_)
            for (std::size_t i = 0; i < n; ++i)
                chunk(event_role::content, i,
                      tool_.empty() ? "{\"content\":" + quoted(piece) + "}"
                                    : R"({"tool_calls":[{"index":0,"function":{"arguments":)" + quoted(piece) + "}}]}",
                      "null");
        for (std::size_t i = 0; i < n; ++i) chunk(event_role::finish, i, "{}", quoted(finish_reason()));
        if (with_usage)
            push(event_role::usage, {},
                 envelope("chatcmpl-", "chat.completion.chunk") + ",\"choices\":[],\"usage\":" + usage() + "}");
        push_done();
    }

    void completion() {
        answer_.body = envelope("cmpl-", "text_completion") + ",\"choices\":[{\"text\":" + quoted(text()) +
                       ",\"index\":0,\"logprobs\":null,\"finish_reason\":" + quoted(finish_reason()) +
                       "}],\"usage\":" + usage() + "}";
    }

    void completion_stream() {
        const auto chunk = [&](event_role role, std::string_view piece, const std::string& reason) {
            push(role, {},
                 envelope("cmpl-", "text_completion") + ",\"choices\":[{\"text\":" + quoted(piece) +
                     ",\"index\":0,\"logprobs\":null,\"finish_reason\":" + reason + "}]}");
        };
        for (const auto& piece : pieces_) chunk(event_role::content, piece, "null");
        chunk(event_role::finish, "", quoted(finish_reason()));
        push_done();
    }

    std::string response_item(std::string_view status) const {
        if (!tool_.empty())
            return "{\"id\":\"" + id("fc_") + "\",\"type\":\"function_call\",\"status\":\"" + std::string{status} +
                   "\",\"arguments\":" + (status == "completed" ? quoted(arguments_) : "\"\"") + ",\"call_id\":\"" +
                   id("call_") + "\",\"name\":" + quoted(tool_) + "}";
        return "{\"id\":\"" + id("msg_") + "\",\"type\":\"message\",\"status\":\"" + std::string{status} +
               "\",\"content\":[" + (status == "completed" ? response_part(text()) : "") + "],\"role\":\"assistant\"}";
    }
    static std::string response_part(std::string_view text) {
        return "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":" + quoted(text) + "}";
    }
    bool incomplete() const { return finish_reason() == "length" || finish_reason() == "content_filter"; }

    std::string response_object(bool done) const {
        const std::string status = !done ? "in_progress" : incomplete() ? "incomplete" : "completed";
        const std::string why = finish_reason() == "length" ? "max_output_tokens" : "content_filter";
        return "{\"id\":\"" + id("resp_") + "\",\"object\":\"response\",\"created_at\":1767225600,\"status\":\"" +
               status + "\",\"background\":false,\"error\":null,\"incomplete_details\":" +
               (done && incomplete() ? "{\"reason\":\"" + why + "\"}" : "null") +
               ",\"instructions\":null,\"max_output_tokens\":null,\"model\":" + quoted(model_) + ",\"output\":[" +
               (done ? response_item("completed") : "") +
               "],\"parallel_tool_calls\":true,\"previous_response_id\":null,\"reasoning\":{\"effort\":null,"
               "\"summary\":null},"
               "\"store\":false,\"temperature\":1.0,\"text\":{\"format\":{\"type\":\"text\"}},\"tool_choice\":\"auto\","
               "\"tools\":[],"
               "\"top_p\":1.0,\"truncation\":\"disabled\",\"usage\":" +
               (done ? "{\"input_tokens\":" + std::to_string(prompt_tokens()) +
                           ",\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":" +
                           std::to_string(count_) +
                           ",\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":" +
                           std::to_string(prompt_tokens() + count_) + "}"
                     : "null") +
               ",\"user\":null,\"metadata\":{}}";
    }
    void responses() { answer_.body = response_object(true); }

    void responses_stream() {
        const auto emit = [&](event_role role, const std::string& type, const std::string& members) {
            push(role, type,
                 "{\"type\":\"" + type + "\",\"sequence_number\":" + std::to_string(answer_.events.size()) + "," +
                     members + "}");
        };
        const std::string item = "\"item_id\":\"" + id(tool_.empty() ? "msg_" : "fc_") + "\",\"output_index\":0";
        const std::string part = item + ",\"content_index\":0";
        emit(event_role::preamble, "response.created", "\"response\":" + response_object(false));
        emit(event_role::preamble, "response.in_progress", "\"response\":" + response_object(false));
        emit(tool_.empty() ? event_role::preamble : event_role::content, "response.output_item.added",
             "\"output_index\":0,\"item\":" + response_item("in_progress"));
        if (tool_.empty()) {
            emit(event_role::preamble, "response.content_part.added", part + ",\"part\":" + response_part(""));
            for (const auto& piece : pieces_)
                emit(event_role::content, "response.output_text.delta",
                     part + ",\"delta\":" + quoted(piece) + ",\"logprobs\":[]");
            emit(event_role::closing, "response.output_text.done",
                 part + ",\"text\":" + quoted(text()) + ",\"logprobs\":[]");
            emit(event_role::closing, "response.content_part.done", part + ",\"part\":" + response_part(text()));
        } else {
            for (const auto& piece : pieces_)
                emit(event_role::content, "response.function_call_arguments.delta",
                     item + ",\"delta\":" + quoted(piece));
            emit(event_role::closing, "response.function_call_arguments.done",
                 item + ",\"name\":" + quoted(tool_) + ",\"arguments\":" + quoted(arguments_));
        }
        emit(event_role::closing, "response.output_item.done",
             "\"output_index\":0,\"item\":" + response_item("completed"));
        emit(event_role::terminal, incomplete() ? "response.incomplete" : "response.completed",
             "\"response\":" + response_object(true));
    }

    void embeddings(const json::object& in) {
        std::size_t dimensions = 16;
        if (const auto* wanted = in.if_contains("dimensions"); wanted != nullptr && wanted->is_int64())
            dimensions = static_cast<std::size_t>(std::clamp<std::int64_t>(wanted->as_int64(), 1, 4096));
        const auto* format = in.if_contains("encoding_format");
        const bool base64 = format != nullptr && format->is_string() && format->as_string() == "base64";
        const auto* input = in.if_contains("input");
        const std::size_t inputs = input != nullptr && input->is_array() ? input->as_array().size() : 1;
        std::string& out = answer_.body;
        out = "{\"object\":\"list\",\"data\":[";
        for (std::size_t i = 0; i < inputs; ++i) {
            std::string raw, numbers;
            for (std::size_t k = 0; k < dimensions; ++k) {
                // Multiples of 1/1024, so that the decimal and the binary form are the same number.
                const auto draw = hash_of(nonce_ + ":" + std::to_string(i) + ":" + std::to_string(k)) % 2048;
                const float value = (static_cast<float>(draw) - 1024.0F) / 1024.0F;
                if (base64) {
                    const auto bytes = std::bit_cast<std::array<char, 4>>(value); // little-endian, as on the wire
                    raw.append(bytes.data(), bytes.size());
                } else {
                    numbers += (k == 0 ? "" : ",") + json::serialize(json::value(static_cast<double>(value)));
                }
            }
            out += (i == 0 ? "" : ",") + std::string{"{\"object\":\"embedding\",\"index\":"} + std::to_string(i) +
                   ",\"embedding\":" + (base64 ? "\"" + base64_of(raw) + "\"" : "[" + numbers + "]") + "}";
        }
        out += "],\"model\":" + quoted(model_) + ",\"usage\":{\"prompt_tokens\":" + std::to_string(prompt_tokens()) +
               ",\"total_tokens\":" + std::to_string(prompt_tokens()) + "}}";
    }

    static std::string base64_of(std::string_view raw) {
        static constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        std::string out;
        for (std::size_t i = 0; i < raw.size(); i += 3) {
            std::uint32_t bits = 0;
            for (std::size_t k = 0; k < 3; ++k)
                bits = bits << 8U | (i + k < raw.size() ? static_cast<unsigned char>(raw[i + k]) : 0U);
            for (std::size_t k = 0; k < 4; ++k) out += i + k <= raw.size() ? letters[bits >> (18 - 6 * k) & 63U] : '=';
        }
        return out;
    }

    void models() {
        const auto model = [](std::string_view name) {
            return "{\"id\":" + quoted(name) + ",\"object\":\"model\",\"created\":1767225600,\"owned_by\":\"sim\"}";
        };
        if (path_ == "/v1/models") {
            answer_.body = "{\"object\":\"list\",\"data\":[" + model("sim-1") + "," + model("sim-2") + "]}";
            return;
        }
        const auto name = path_.substr(std::string_view{"/v1/models/"}.size());
        if (name == "no-such-model") return error(error_kind::not_found, 404);
        answer_.body = model(name);
    }

    std::string message_object(bool done) const {
        std::string content;
        if (done)
            content = tool_.empty() ? "{\"type\":\"text\",\"text\":" + quoted(text()) + "}"
                                    : "{\"type\":\"tool_use\",\"id\":\"" + id("toolu_") +
                                          "\",\"name\":" + quoted(tool_) + ",\"input\":" + arguments_ + "}";
        return "{\"id\":\"" + id("msg_") +
               "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":" + quoted(model_) + ",\"content\":[" +
               content + "],\"stop_reason\":" + (done ? quoted(finish_reason()) : "null") +
               ",\"stop_sequence\":null,\"usage\":{\"input_tokens\":" + std::to_string(prompt_tokens()) +
               ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":" +
               std::to_string(done ? count_ : 1) + ",\"service_tier\":\"standard\"}}";
    }
    void messages() { answer_.body = message_object(true); }

    void messages_stream() {
        push(event_role::preamble, "message_start",
             "{\"type\":\"message_start\",\"message\":" + message_object(false) + "}");
        push(tool_.empty() ? event_role::preamble : event_role::content, "content_block_start",
             "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":" +
                 (tool_.empty() ? std::string{R"({"type":"text","text":""})"}
                                : "{\"type\":\"tool_use\",\"id\":\"" + id("toolu_") + "\",\"name\":" + quoted(tool_) +
                                      ",\"input\":{}}") +
                 "}");
        push(event_role::preamble, "ping", R"({"type":"ping"})");
        for (const auto& piece : pieces_)
            push(event_role::content, "content_block_delta",
                 "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":" +
                     (tool_.empty() ? "{\"type\":\"text_delta\",\"text\":" + quoted(piece)
                                    : "{\"type\":\"input_json_delta\",\"partial_json\":" + quoted(piece)) +
                     "}}");
        push(event_role::closing, "content_block_stop", R"({"type":"content_block_stop","index":0})");
        push(event_role::finish, "message_delta",
             "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":" + quoted(finish_reason()) +
                 ",\"stop_sequence\":null},\"usage\":{\"output_tokens\":" + std::to_string(count_) + "}}");
        push(event_role::terminal, "message_stop", R"({"type":"message_stop"})");
    }

    void bytes() {
        std::size_t size = 0;
        for (const char c : path_.substr(std::string_view{"/bytes/"}.size())) {
            if (c < '0' || c > '9' || size > (std::size_t{1} << 32U)) return error(error_kind::not_found, 404);
            size = size * 10 + static_cast<std::size_t>(c - '0');
        }
        answer_.content_type = "application/octet-stream";
        answer_.body.resize(size);
        for (std::size_t i = 0; i < size; ++i) answer_.body[i] = static_cast<char>('a' + i % 26);
    }

    void error(error_kind kind, int status) {
        answer_.status = status != 0 ? status : usual_status(answer_.dialect, kind);
        answer_.stream = false;
        answer_.events.clear();
        answer_.content_type = "application/json";
        answer_.body = "{\"error\":" + error_object(answer_.dialect, kind, answer_.status) + "}";
        if (answer_.dialect == provider_dialect::anthropic)
            answer_.body = "{\"type\":\"error\",\"error\":" + error_object(answer_.dialect, kind, answer_.status) +
                           ",\"request_id\":\"" + id("req_") + "\"}";
    }

    void replace_body(const std::string& what) {
        answer_.stream = false;
        answer_.events.clear();
        if (what == "html") {
            answer_.content_type = "text/html; charset=UTF-8";
            answer_.body = "<html>\r\n<head><title>" + std::to_string(answer_.status) +
                           " Bad Gateway</title></head>\r\n<body>\r\n<center><h1>" + std::to_string(answer_.status) +
                           " Bad Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n";
        } else if (what.starts_with("text:")) {
            answer_.body = what.substr(5);
        } else {
            answer_.body.clear();
        }
    }

    void add_headers() {
        auto& out = answer_.headers;
        if (answer_.dialect == provider_dialect::openai) {
            out.emplace_back("x-request-id", id("req_"));
            out.emplace_back("openai-processing-ms", std::to_string(20 + hash_ % 400));
            out.emplace_back("openai-version", "2020-10-01");
            out.emplace_back("openai-organization", "org-sim");
            out.emplace_back("x-ratelimit-limit-requests", "10000");
            out.emplace_back("x-ratelimit-limit-tokens", "2000000");
            out.emplace_back("x-ratelimit-remaining-requests", std::to_string(9000 + hash_ % 1000));
            out.emplace_back("x-ratelimit-remaining-tokens", std::to_string(1900000 + hash_ % 100000));
            out.emplace_back("x-ratelimit-reset-requests", "6ms");
            out.emplace_back("x-ratelimit-reset-tokens", "0s");
        } else {
            out.emplace_back("request-id", id("req_"));
            out.emplace_back("anthropic-organization-id", "org-sim");
            out.emplace_back("anthropic-ratelimit-requests-limit", "4000");
            out.emplace_back("anthropic-ratelimit-requests-remaining", std::to_string(3000 + hash_ % 1000));
            out.emplace_back("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:01Z");
        }
        if (answer_.stream) out.emplace_back("cache-control", "no-cache");
        if (!script_.should_retry.empty()) out.emplace_back("x-should-retry", script_.should_retry);
        if (!script_.retry_after_ms.empty()) out.emplace_back("retry-after-ms", script_.retry_after_ms);
        for (const auto& field : script_.headers) out.push_back(field);
        out.emplace_back("x-sim-attempt", std::to_string(request_.serial));
    }

    provider_request request_;
    const provider_script& script_;
    std::string_view path_;
    std::uint64_t hash_ = 0;
    std::string nonce_;
    std::string model_ = "sim-1";
    std::size_t count_ = 0; // content pieces
    bool cut_short_ = false;
    std::string tool_, arguments_;
    std::vector<std::string> pieces_;
    provider_answer answer_;
};

} // namespace

provider_answer make_answer(const provider_request& request, const provider_script& script) {
    return composer{request, script}.compose();
}

std::string find_nonce(std::string_view body) {
    const auto at = body.find("nonce:");
    if (at == std::string_view::npos) return {};
    const auto rest = body.substr(at + 6);
    const auto belongs = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
               c == '-';
    };
    return std::string{rest.begin(), std::find_if_not(rest.begin(), rest.end(), belongs)};
}

void stamp_event(stream_event& event, std::int64_t ns) noexcept {
    if (event.stamp_at == std::string::npos) return;
    for (std::size_t i = 20; i-- > 0; ns /= 10) event.text[event.stamp_at + i] = static_cast<char>('0' + ns % 10);
}

std::string_view api_path(std::string_view target) noexcept {
    const auto path = target.substr(0, target.find('?'));
    for (const std::string_view root : {"/v1/", "/echo", "/bytes/", "/upload"})
        if (const auto at = path.find(root); at != std::string_view::npos) return path.substr(at);
    return path;
}

} // namespace evenkeel::provider
