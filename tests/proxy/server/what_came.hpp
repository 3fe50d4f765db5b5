#pragma once
// A chat call, and what its client got of the answer in a few words.

#include "proxy/provider/blocking_client.hpp"

#include <string>

namespace evenkeel::test {

using namespace evenkeel::provider;

inline std::string chat(const std::string& nonce, bool stream) {
    return std::string{R"({"model":"m","stream":)"} + (stream ? "true" : "false") +
           R"(,"messages":[{"role":"user","content":"nonce:)" + nonce + R"("}]})";
}

// What the client got, in a few words, and the attempts at each upstream:
//   ok           200, whole, with the right text       STATUS       the upstream's own error, whole
//   STATUS!      an error of ours                      cut+frame    content, then our error frame, then the cut
//   cut          content, then the cut                 told         the upstream's error frame, then the cut
//   FALSE        200, formally whole, and it is not: never
inline std::string got(const client_response& answer, const std::string& nonce, bool stream) {
    const bool text = answer.body.find("[" + nonce + ":0]") != std::string::npos;
    const bool all = text && answer.body.find("[" + nonce + ":11]") != std::string::npos;
    if (answer.status != 200) {
        if (!answer.complete()) return std::to_string(answer.status) + " cut";
        return std::to_string(answer.status) + (answer.header("proxy-status").empty() ? "" : "!");
    }
    if (answer.complete()) {
        const bool ended = !stream || answer.body.find("[DONE]") != std::string::npos ||
                           answer.body.find("\"finish_reason\":\"") != std::string::npos;
        if (stream && answer.body.find("event: error") != std::string::npos) return "told";
        return all && ended && answer.body.find("evenkeel_error") == std::string::npos ? "ok" : "FALSE";
    }
    if (answer.body.find("evenkeel_error") != std::string::npos) return text ? "cut+frame" : "frame";
    if (answer.body.find("\"error\"") != std::string::npos) return "told";
    return "cut";
}

} // namespace evenkeel::test
