#include "proxy/model/judge.hpp"

#include "proxy/wire/find_word.hpp"
#include "proxy/wire/json_model.hpp"

#include <algorithm>
#include <array>

namespace evenkeel::model {

namespace {

// A word, and where in it two neighbours stand that are rare in the texts here.
struct word {
    std::string_view spelled;
    std::size_t pair_at;
};
struct wording {
    word text, why_it_ended;
    std::string_view said_to_be_whole;
};
constexpr std::array<wording, 2> wordings{{{{R"("content")", 3}, {R"("finish_reason")", 6}, "stop"},
                                           {{R"("text")", 3}, {R"("stop_reason")", 5}, "end_turn"}}};

bool has(std::string_view json, const word& which) { return wire::has_word(json, which.spelled, which.pair_at); }

// The string value of the first member of that name; empty if it has none. The texts here hold no escapes: what one
// would make of them is not the text that is due.
std::string_view text_of(std::string_view json, const word& member) {
    for (;;) {
        const auto at = wire::find_word(json, member.spelled, member.pair_at);
        if (at == std::string_view::npos) return {};
        json.remove_prefix(at + member.spelled.size());
        json.remove_prefix(std::min(json.find_first_not_of(" \t\r\n"), json.size()));
        if (json.starts_with(':')) break; // else a value: "type":"text"
    }
    json.remove_prefix(1);
    json.remove_prefix(std::min(json.find_first_not_of(" \t\r\n"), json.size()));
    if (!json.starts_with('"')) return {};
    return json.substr(1, json.find('"', 1) - 1);
}

bool is_good(std::string_view json) { return wire::is_json(json) && !has(json, {R"("error")", 2}); }

} // namespace

void answer_judge::begin(api speaks, bool stream) {
    if (speaks != speaks_) preamble_.clear();
    speaks_ = speaks;
    stream_ = stream;
    unread_.clear();
    text_.clear();
    before_.clear();
    finished_ = ended_ = failed_ = open_ = false;
}

bool answer_judge::take(std::string_view bytes) {
    bool spoke = false;
    for (auto end = bytes.find('\n'); stream_ && end != std::string_view::npos; end = bytes.find('\n')) {
        const std::string_view line = bytes.substr(0, end);
        if (unread_.empty()) {
            spoke = take_line(line) || spoke;
        } else {
            spoke = take_line(unread_.append(line)) || spoke;
            unread_.clear();
        }
        bytes.remove_prefix(end + 1);
    }
    unread_ += bytes;
    return spoke;
}

bool answer_judge::take_line(std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) open_ = false;
    if (line.empty() || line.starts_with(':')) return false;
    failed_ = failed_ || ended_;
    open_ = true;
    const auto colon = std::min(line.find(':'), line.size());
    const std::string_view field = line.substr(0, colon);
    line.remove_prefix(std::min(line.find_first_not_of(' ', colon + 1), line.size()));
    if (field == "event") {
        failed_ = failed_ || line == "error";
        return false;
    }
    const bool openai = speaks_ == api::openai_chat;
    if (field == "data" && openai && line == "[DONE]") {
        ended_ = true;
        return false;
    }
    if (field == "data" && !line.empty() && line == preamble_) return false;
    if (field == "data" && is_like_the_last(line)) {
        text_ += line.substr(before_.size() + 1, line.size() - before_.size() - after_.size() - 2);
        return true;
    }
    if (field != "data" || !is_good(line)) { // or a kind of line that was not asked for
        failed_ = true;
        return false;
    }
    const wording& words = wordings[static_cast<std::size_t>(speaks_)];
    const std::string_view piece = text_of(line, words.text);
    text_ += piece;
    finished_ = finished_ || text_of(line, words.why_it_ended) == words.said_to_be_whole;
    ended_ = ended_ || (!openai && has(line, {R"("message_stop")", 8}));
    if (piece.empty() && preamble_.empty() && !finished_ && !ended_) preamble_ = line;
    if (piece.empty()) return false;
    const auto quote = static_cast<std::size_t>(piece.data() - line.data()) - 1;
    before_ = line.substr(0, quote);
    after_ = line.substr(quote + piece.size() + 2);
    return true;
}

bool answer_judge::is_like_the_last(std::string_view event) const {
    const std::size_t rest = before_.size() + after_.size();
    if (before_.empty() || event.size() <= rest + 2 || !event.starts_with(before_) || !event.ends_with(after_))
        return false;
    const auto said = event.substr(before_.size(), event.size() - rest);
    return said.starts_with('"') && wire::is_json(said);
}

verdict answer_judge::judge(const received_answer& answer, std::string_view nonce) const {
    if (answer.status == 0) return verdict::broken;
    if (answer.status != 200) return verdict::error;
    if (!answer.whole) return verdict::broken;
    if (answer.degraded) return verdict::degraded;
    const wording& words = wordings[static_cast<std::size_t>(speaks_)];
    const bool good = stream_
                          ? ended_ && finished_ && !failed_ && !open_ && unread_.empty() && is_whole_text(text_, nonce)
                          : is_good(unread_) && text_of(unread_, words.why_it_ended) == words.said_to_be_whole &&
                                is_whole_text(text_of(unread_, words.text), nonce);
    return good ? verdict::success : verdict::broken;
}

bool is_whole_text(std::string_view text, std::string_view nonce) {
    std::string mark = "[";
    mark.append(nonce).append(":0] ");
    char& digit = mark[nonce.size() + 2];
    for (int piece = 0; piece < answer_pieces; ++piece, ++digit) {
        if (!text.starts_with(mark)) return false;
        text.remove_prefix(std::min(text.find('[', mark.size()), text.size()));
    }
    return text.empty();
}

} // namespace evenkeel::model
