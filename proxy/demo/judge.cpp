#include "proxy/demo/judge.hpp"

#include "proxy/model/answer_text.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace evenkeel::demo {

namespace {

namespace json = boost::json;
using provider::message_end;
static_assert(original::pieces == model::answer_pieces);

// The string at a JSON pointer; empty if there is none.
std::string_view text_at(const json::value& in, std::string_view pointer) {
    boost::system::error_code absent;
    const json::value* found = in.find_pointer(pointer, absent);
    return found != nullptr && found->is_string() ? std::string_view{found->get_string()} : std::string_view{};
}

bool has_error(const json::value& in) {
    return in.is_object() && (in.get_object().contains("error") || text_at(in, "/type") == "error");
}

// What the head alone decides; success: the body does.
verdict judge_head(const provider::client_response& head) {
    if (head.status != 200) return head.status == 0 ? verdict::broken : verdict::error;
    return head.header_count("x-evenkeel-degraded") == 0 ? verdict::success : verdict::degraded;
}

} // namespace

verdict judge_buffered(api speaks, std::string_view nonce, const provider::client_response& answer) {
    if (const auto by_head = judge_head(answer); by_head != verdict::success) return by_head;
    if (!answer.complete()) return verdict::broken;
    boost::system::error_code failed;
    const json::value body = json::parse(answer.body, failed);
    if (failed || has_error(body)) return verdict::broken;
    const std::string_view where = speaks == api::openai_chat ? "/choices/0/message/content" : "/content/0/text";
    return model::is_whole_text(text_at(body, where), nonce) ? verdict::success : verdict::broken;
}

bool stream_judge::take(const provider::sse_event& event) {
    if (event.comment) return false;
    failed_ = failed_ || ended_;
    if (speaks_ == api::openai_chat && event.data == "[DONE]") {
        ended_ = true;
        return false;
    }
    boost::system::error_code malformed;
    const json::value data = json::parse(event.data, malformed);
    if (malformed || event.event == "error" || has_error(data)) {
        failed_ = true;
        return false;
    }
    if (speaks_ == api::openai_chat) {
        finished_ = finished_ || !text_at(data, "/choices/0/finish_reason").empty();
    } else {
        ended_ = text_at(data, "/type") == "message_stop";
    }
    const auto piece = text_at(data, speaks_ == api::openai_chat ? "/choices/0/delta/content" : "/delta/text");
    text_ += piece;
    return !piece.empty();
}

verdict stream_judge::judge(const provider::client_response& head, message_end end) const {
    if (const auto by_head = judge_head(head); by_head != verdict::success) return by_head;
    const bool marked = ended_ && (finished_ || speaks_ == api::anthropic_messages);
    const bool whole = end == message_end::complete && marked && !failed_ && model::is_whole_text(text_, nonce_);
    return whole ? verdict::success : verdict::broken;
}

} // namespace evenkeel::demo
