#pragma once
// Puts the answer in one piece together again from the stream it was asked for as: OpenAI's chat completions,
// Anthropic's messages. What comes out has exactly the members the provider itself would have given it, with their
// values byte for byte: texts are joined as they are spelled, everything else is copied.
//
// Whatever is not known to have a place in that answer, anywhere, ends it: nothing is lost, made up or guessed. The one
// thing a stream does not tell are members that are null or empty lists in the answer and are never named in it.
//
// Pure; bytes in any cut; never throws on any input. Sources: platform.openai.com/docs/api-reference/chat and
// /chat-streaming, docs.anthropic.com/en/api/messages and /messages-streaming, and the documentation of DeepSeek, vLLM,
// OpenRouter and Mistral for what they add.

#include "proxy/wire/error_body.hpp"
#include "proxy/wire/event_splitter.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::wire {

class answer_assembler {
public:
    // One kind of stream, event by event (chat_assembler, message_assembler).
    class form {
    public:
        virtual ~form() = default;
        [[nodiscard]] virtual bool event(const stream_event& one) = 0; // false: not understood
        [[nodiscard]] virtual std::optional<std::string> answer() const = 0;
        [[nodiscard]] virtual bool ended() const noexcept = 0;

        std::uint64_t kept = 0; // bytes
        std::string unknown;    // what was not understood: a member's or event's name, or a word in brackets

    protected:
        bool refuse(std::string_view what) {
            static constexpr std::size_t longest = 64;
            unknown.assign(what.substr(0, longest));
            return false;
        }
    };

    explicit answer_assembler(dialect which); // openai or anthropic

    // The next bytes of the stream; false: something in them is not understood, and nothing after it is looked at.
    [[nodiscard]] bool add(std::string_view bytes);
    // The stream has ended, perhaps without its last blank line.
    [[nodiscard]] bool end();
    // Its terminal marker has come ([DONE], message_stop).
    [[nodiscard]] bool ended() const noexcept { return form_->ended(); }
    // JSON; empty: not everything an answer has is here (unknown() says what).
    [[nodiscard]] std::optional<std::string> answer() const;

    // Bytes it holds.
    [[nodiscard]] std::uint64_t size() const noexcept { return form_->kept + splitter_.rest().size(); }
    [[nodiscard]] const std::string& unknown() const noexcept { return form_->unknown; }

private:
    [[nodiscard]] bool take(const stream_event& one);

    event_splitter splitter_;
    std::unique_ptr<form> form_;
    bool refused_ = false;
};

[[nodiscard]] std::unique_ptr<answer_assembler::form> chat_assembler();
[[nodiscard]] std::unique_ptr<answer_assembler::form> message_assembler();

} // namespace evenkeel::wire
