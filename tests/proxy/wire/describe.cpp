#include "vectors.hpp"

#include <cstdio>

namespace evenkeel::test {

namespace {

std::string list(const std::vector<wire::field>& fields) {
    std::string out = " [";
    for (const wire::field& f : fields) {
        if (out.size() > 2) out += '|';
        out.append(f.name).append(": ").append(f.value);
    }
    return out + "]";
}

} // namespace

std::string describe(const wire::body_framing& body) {
    switch (body.kind) {
    case wire::body_kind::none: return "none";
    case wire::body_kind::length: return "length=" + std::to_string(body.length);
    case wire::body_kind::chunked: return "chunked";
    case wire::body_kind::until_close: return "until_close";
    }
    return "?";
}

std::string describe(const wire::request_head& head) {
    std::string out(head.method);
    out.append(" ").append(head.target).append(" host=").append(head.host);
    out.append(" 1.").append(std::to_string(head.minor_version)).append(" ").append(describe(head.body));
    out.append(head.keep_alive ? " keep" : " close");
    if (head.expect_continue) out += " continue";
    return out + list(head.fields);
}

std::string describe(const wire::response_head& head) {
    std::string out = std::to_string(head.status);
    out.append(" ").append(head.reason);
    out.append(" 1.").append(std::to_string(head.minor_version)).append(" ").append(describe(head.body));
    out.append(head.keep_alive ? " keep" : " close");
    if (head.declared_length) out.append(" declared=").append(std::to_string(*head.declared_length));
    if (head.keep_alive_timeout_seconds != 0)
        out.append(" timeout=").append(std::to_string(head.keep_alive_timeout_seconds));
    return out + list(head.fields);
}

std::string printable(std::string_view bytes) {
    std::string out;
    for (const char c : bytes.substr(0, 400)) {
        const auto u = static_cast<unsigned char>(c);
        if (c == '\r') {
            out += "\\r";
        } else if (c == '\n') {
            out += "\\n";
        } else if (u < 0x20 || u >= 0x7f) {
            char text[8];
            std::snprintf(text, sizeof text, "\\%03o", static_cast<unsigned>(u));
            out += text;
        } else {
            out += c;
        }
    }
    if (bytes.size() > 400) out += "...";
    return out;
}

} // namespace evenkeel::test
