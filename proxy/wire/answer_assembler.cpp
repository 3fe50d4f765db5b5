#include "proxy/wire/answer_assembler.hpp"

namespace evenkeel::wire {

answer_assembler::answer_assembler(dialect which)
    : form_(which == dialect::anthropic ? message_assembler() : chat_assembler()) {}

bool answer_assembler::take(const stream_event& one) {
    if (one.data.empty()) return true; // a comment, or an id: no event to a client
    refused_ = !form_->event(one);
    return !refused_;
}

bool answer_assembler::add(std::string_view bytes) {
    if (refused_) return false;
    splitter_.add(bytes);
    while (const auto one = splitter_.next()) {
        if (!take(*one)) return false;
    }
    return true;
}

bool answer_assembler::end() {
    if (refused_) return false;
    const auto last = splitter_.last();
    return !last || take(*last);
}

std::optional<std::string> answer_assembler::answer() const {
    if (refused_) return std::nullopt;
    return form_->answer();
}

} // namespace evenkeel::wire
