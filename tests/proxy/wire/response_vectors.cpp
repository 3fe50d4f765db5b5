#include "vectors.hpp"

#include <utility>

namespace evenkeel::test {

namespace {

using wire::refusal;
using namespace std::string_literals;

struct table {
    std::vector<head_vector> rows;

    void raw(std::string name, std::string bytes, refusal why, std::string parts = {}, bool head_request = false) {
        rows.push_back({std::move(name), std::move(bytes), why, std::move(parts), head_request});
    }
    void fields(std::string name, const std::string& lines, refusal why, std::string parts = {}) {
        raw("resp/" + std::move(name), "HTTP/1.1 200 OK\r\n" + lines + "\r\n\r\n", why, std::move(parts));
    }
    void line(std::string name, const std::string& text, refusal why, std::string parts = {}) {
        raw("resp/line/" + std::move(name), text + "\r\nContent-Length: 0\r\n\r\n", why, std::move(parts));
    }
};

void status_lines(table& t) {
    t.line("usual", "HTTP/1.1 200 OK", refusal::none, "200 OK 1.1 length=0 keep []");
    t.line("no reason", "HTTP/1.1 200 ", refusal::none, "200  1.1 length=0 keep []");
    t.line("no reason and no blank (B16)", "HTTP/1.1 200", refusal::none, "200  1.1 length=0 keep []");
    t.line("long reason", "HTTP/1.1 404 Not really found, \t sorry", refusal::none,
           "404 Not really found, \t sorry 1.1 length=0 keep []");
    t.line("obs-text reason", "HTTP/1.1 200 \303\244\377", refusal::none, "200 \303\244\377 1.1 length=0 keep []");
    t.line("1.0", "HTTP/1.0 200 OK", refusal::none, "200 OK 1.0 length=0 close []");
    t.line("599", "HTTP/1.1 599 x", refusal::none, "599 x 1.1 length=0 keep []");
    for (const char* text : {"HTTP/1.1 20",
                             "HTTP/1.1 2000",
                             "HTTP/1.1  200 OK",
                             "HTTP/1.1 20 OK",
                             "HTTP/1.1 2000 OK",
                             "HTTP/1.1 2x0 OK",
                             "HTTP/1.1 +20 OK",
                             "HTTP/1.1 -20 OK",
                             "HTTP/1.1 OK",
                             "HTTP/1.1\t200 OK",
                             "HTTP/1.1 200\tOK",
                             "ICY 200 OK",
                             "http/1.1 200 OK",
                             " HTTP/1.1 200 OK",
                             "200 OK",
                             "OK",
                             "",
                             "SSH-2.0-OpenSSH_9.2",
                             "HTTP/1.1",
                             "HTTP/1.1 2000000",
                             "220 mail ESMTP",
                             "-ERR unknown command",
                             "HTTP/1.1 0x1 OK",
                             "HTTP/1.1 \30000 OK"})
        t.line("bad '"s + text + "'", text, refusal::bad_status_line);
    for (const char* text :
         {"HTTP/1.x 200 OK", "HTTP/11 200 OK!", "HTTP/1,1 200 OK", "HTTP/ 1.1 200 OK", "HTTP/a.b 200 OK"})
        t.line("bad version '"s + text + "'", text, refusal::bad_version);
    for (const char* text : {"HTTP/2.0 200 OK", "HTTP/1.2 200 OK", "HTTP/0.9 200 OK"})
        t.line("version '"s + text + "'", text, refusal::version_not_supported);
    for (const char* text : {"000", "099", "600", "999", "700"})
        t.line("status "s + text, "HTTP/1.1 "s + text + " x", refusal::bad_status);
    t.line("NUL in reason", "HTTP/1.1 200 O\000K"s, refusal::bad_status_line);
    t.line("DEL in reason", "HTTP/1.1 200 O\177K", refusal::bad_status_line);
    t.line("escape in reason", "HTTP/1.1 200 \033[0m", refusal::bad_status_line);
    t.line("bare CR", "HTTP/1.1 200 OK\rX: y", refusal::bare_cr_or_lf);
    t.line("bare LF", "HTTP/1.1 200 OK\nX: y", refusal::bare_cr_or_lf);
    t.raw("resp/line/LF only", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", refusal::bare_cr_or_lf);
    t.raw("resp/line/leading CRLF", "\r\nHTTP/1.1 200 OK\r\n\r\n", refusal::bad_status_line);
    t.raw("resp/line/TLS record", "\025\003\001\000\002\002\106"s, refusal::bad_status_line);
    t.raw("resp/line/HTTP2 settings", "\000\000\022\004\000\000\000\000\000"s, refusal::bad_status_line);
}

void framing(table& t) {
    t.fields("length", "Content-Length: 5", refusal::none, "200 OK 1.1 length=5 keep []");
    t.fields("chunked", "Transfer-Encoding: Chunked", refusal::none, "200 OK 1.1 chunked keep []");
    t.fields("until close", "A: b", refusal::none, "200 OK 1.1 until_close close [A: b]");
    t.raw("resp/no fields", "HTTP/1.1 200 OK\r\n\r\n", refusal::none, "200 OK 1.1 until_close close []");
    t.fields("until close, keep-alive told", "Connection: keep-alive", refusal::none,
             "200 OK 1.1 until_close close []");
    t.fields("both", "Content-Length: 5\r\nTransfer-Encoding: chunked", refusal::length_and_transfer_encoding);
    t.fields("both, reversed", "Transfer-Encoding: chunked\r\nContent-Length: 5",
             refusal::length_and_transfer_encoding);
    t.fields("both, gzip", "Transfer-Encoding: gzip\r\nContent-Length: 5", refusal::length_and_transfer_encoding);
    t.fields("two lengths", "Content-Length: 5\r\nContent-Length: 6", refusal::duplicate_content_length);
    t.fields("two equal lengths", "Content-Length: 5\r\nContent-Length: 5", refusal::duplicate_content_length);
    for (const char* value : {"", "+5", "-1", "5,5", "5, 6", "0x5", "5 5", "18446744073709551616", "five", "5;", "5.0"})
        t.fields("bad length '"s + value + "'", "Content-Length: "s + value, refusal::bad_content_length);
    for (const char* value : {"", "gzip", "identity", "xchunked", "chunked, chunked", "chunked, gzip", "chunked;a=b",
                              ",chunked", "\"chunked\"", "chunked\240"})
        t.fields("bad coding '"s + value + "'", "Transfer-Encoding: "s + value, refusal::bad_transfer_encoding);
    t.fields("gzip chunked", "Transfer-Encoding: gzip, chunked", refusal::transfer_encoding_not_supported);
    t.fields("two codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", refusal::bad_transfer_encoding);
    t.raw("resp/chunked in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", refusal::chunked_in_http10);
    t.raw("resp/1.0 until close", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", refusal::none,
          "200 OK 1.0 until_close close []");
    t.raw("resp/1.0 keep-alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n",
          refusal::none, "200 OK 1.0 length=1 keep []");
    t.fields("length with space before colon", "Content-Length : 5", refusal::bad_field_name);
    t.fields("folded length", "Content-Length:\r\n 5", refusal::obs_fold);
}

void bodiless(table& t) {
    const auto bodiless = [&](const std::string& name, const std::string& status, const std::string& lines, refusal why,
                              std::string parts, bool head = false) {
        t.raw("resp/" + name, "HTTP/1.1 " + status + " X\r\n" + lines + "\r\n", why, std::move(parts), head);
    };
    bodiless("204-plain", "204", "", refusal::none, "204 X 1.1 none keep []");
    bodiless("204-length 0", "204", "Content-Length: 0\r\n", refusal::none, "204 X 1.1 none keep []");
    bodiless("204-length 5", "204", "Content-Length: 5\r\n", refusal::none, "204 X 1.1 none close []");
    bodiless("204-chunked", "204", "Transfer-Encoding: chunked\r\n", refusal::none, "204 X 1.1 none close []");
    bodiless("204-bad length", "204", "Content-Length: x\r\n", refusal::bad_content_length, "");
    bodiless("205-plain", "205", "", refusal::none, "205 X 1.1 until_close close []");
    bodiless("304-plain", "304", "", refusal::none, "304 X 1.1 none keep []");
    bodiless("304-length", "304", "Content-Length: 50\r\n", refusal::none, "304 X 1.1 none keep declared=50 []");
    bodiless("304-chunked", "304", "Transfer-Encoding: chunked\r\n", refusal::none, "304 X 1.1 none keep []");
    bodiless("304-both", "304", "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
             refusal::length_and_transfer_encoding, "");
    bodiless("head-length", "200", "Content-Length: 50\r\n", refusal::none, "200 X 1.1 none keep declared=50 []", true);
    bodiless("head-chunked", "200", "Transfer-Encoding: chunked\r\n", refusal::none, "200 X 1.1 none keep []", true);
    bodiless("head-no framing", "200", "", refusal::none, "200 X 1.1 none keep []", true);
    bodiless("head-two lengths", "200", "Content-Length: 1\r\nContent-Length: 2\r\n", refusal::duplicate_content_length,
             "", true);
    bodiless("head-close", "404", "Content-Length: 9\r\nConnection: close\r\n", refusal::none,
             "404 X 1.1 none close declared=9 []", true);
}

void interim(table& t) {
    for (const char* status : {"100", "102", "103", "199"})
        t.raw("resp/1xx "s + status, "HTTP/1.1 "s + status + " X\r\nLink: y\r\n\r\n", refusal::none,
              status + " X 1.1 none keep [Link: y]"s);
    t.raw("resp/1xx 101-unasked",
          "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
          refusal::unexpected_upgrade);
    t.raw("resp/1xx 101-plain", "HTTP/1.1 101 X\r\n\r\n", refusal::unexpected_upgrade);
    t.raw("resp/1xx with length", "HTTP/1.1 100 X\r\nContent-Length: 5\r\n\r\n", refusal::bad_content_length);
    t.raw("resp/1xx with length 0", "HTTP/1.1 100 X\r\nContent-Length: 0\r\n\r\n", refusal::none,
          "100 X 1.1 none keep []");
    t.raw("resp/1xx with coding", "HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n",
          refusal::bad_transfer_encoding);
    t.raw("resp/1xx 100 no reason", "HTTP/1.1 100 \r\n\r\n", refusal::none, "100  1.1 none keep []");
    t.raw("resp/1xx HEAD", "HTTP/1.1 100 X\r\n\r\n", refusal::none, "100 X 1.1 none keep []", true);
}

void fields(table& t) {
    t.fields("hop-by-hop dropped",
             "Keep-Alive: timeout=5, max=100\r\nProxy-Authenticate: x\r\nProxy-Connection: x\r\nTE: x\r\nTrailer: "
             "x\r\nUpgrade: h2,h2c\r\nA: b\r\nContent-Length: 0",
             refusal::none, "200 OK 1.1 length=0 close timeout=5 [A: b]");
    t.fields("proxy-connection keep-alive", "Proxy-Connection: Keep-Alive\r\nContent-Length: 1", refusal::none,
             "200 OK 1.1 length=1 keep []");
    t.fields("proxy-connection close", "Proxy-Connection: close\r\nConnection: keep-alive\r\nContent-Length: 1",
             refusal::none, "200 OK 1.1 length=1 close []");
    t.fields("proxy-connection twice", "Proxy-Connection: close\r\nProxy-Connection: keep-alive\r\nContent-Length: 1",
             refusal::none, "200 OK 1.1 length=1 close []");
    t.fields("hop-nominated dropped", "Connection: x-a\r\nX-A: 1\r\nX-B: 2\r\nContent-Length: 1", refusal::none,
             "200 OK 1.1 length=1 keep [X-B: 2]");
    t.fields("hop-nominates length", "Connection: content-length\r\nContent-Length: 1", refusal::none,
             "200 OK 1.1 length=1 keep []");
    t.fields("hop-nominates coding", "Connection: transfer-encoding, close\r\nTransfer-Encoding: chunked",
             refusal::none, "200 OK 1.1 chunked close []");
    t.fields("hop-malformed", "Connection: a b\r\nContent-Length: 1", refusal::bad_connection);
    t.fields("hop-close", "Connection: Close\r\nContent-Length: 1", refusal::none, "200 OK 1.1 length=1 close []");
    std::string many = "Connection: ";
    for (int i = 0; i < 33; ++i) many += "n" + std::to_string(i) + ",";
    t.fields("hop-33 nominations", many, refusal::bad_connection);
    t.fields("keep-alive timeout", "Keep-Alive: max=3 ,\ttimeout=30\r\nContent-Length: 1", refusal::none,
             "200 OK 1.1 length=1 keep timeout=30 []");
    t.fields("keep-alive timeout huge", "Keep-Alive: TIMEOUT=9999999999999\r\nContent-Length: 1", refusal::none,
             "200 OK 1.1 length=1 keep timeout=4294967295 []");
    t.fields("keep-alive timeout odd", "Keep-Alive: timeout=abc\r\nContent-Length: 1", refusal::none,
             "200 OK 1.1 length=1 keep []");
    t.fields("obs-text", "A: \344\377\r\nContent-Length: 1", refusal::none, "200 OK 1.1 length=1 keep [A: \344\377]");
    t.fields("host is dropped", "Host: x\r\nContent-Length: 1", refusal::none, "200 OK 1.1 length=1 keep []");
    t.fields("several cookies", "Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 1", refusal::none,
             "200 OK 1.1 length=1 keep [Set-Cookie: a|Set-Cookie: b]");
    t.fields("obs-fold", "A: b\r\n c", refusal::obs_fold);
    t.fields("splitting by CR", "A: b\rSet-Cookie: c", refusal::bare_cr_or_lf);
    t.fields("splitting by LF", "A: b\nSet-Cookie: c", refusal::bare_cr_or_lf);
    t.fields("NUL", "A: b\000c"s, refusal::bad_field_value);
    t.fields("vertical tab", "A: b\013c", refusal::bad_field_value);
    t.fields("DEL", "A: b\177", refusal::bad_field_value);
    t.fields("empty name", ": x", refusal::bad_field_name);
    t.fields("no colon", "HTTP/1.1 200 OK", refusal::bad_field_name);
    t.fields("space before colon", "A : b", refusal::bad_field_name);
    t.fields("high byte in name", "\303\244: b", refusal::bad_field_name);
    t.fields("shadow length", "Content_Length: 5", refusal::shadowed_field);
    t.fields("shadow coding", "transfer_encoding: chunked", refusal::shadowed_field);
    t.fields("shadow own", "x_evenkeel_outcome: ok", refusal::shadowed_field);
    t.fields("shadow credential is harmless", "x_api_key: v\r\nContent-Length: 1", refusal::none,
             "200 OK 1.1 length=1 keep [x_api_key: v]");
    std::string fields128;
    for (int i = 0; i < 128; ++i) fields128 += (i == 0 ? "A: b" : "\r\nA: b");
    t.fields("129 fields", fields128 + "\r\nA: b", refusal::too_many_fields);
    t.fields("128 fields", fields128, refusal::none);
    t.fields("head too large", "A: " + std::string(66000, 'x'), refusal::head_too_large);
    t.raw("resp/endless reason", "HTTP/1.1 200 " + std::string(66000, 'x'), refusal::bad_status_line);
    t.raw("real/openai answer",
          "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Type: text/event-stream; "
          "charset=utf-8\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n"
          "openai-processing-ms: 312\r\nx-request-id: req_1\r\nx-ratelimit-remaining-requests: 99\r\nServer: "
          "cloudflare\r\nCF-RAY: 1-FRA\r\nVary: Accept-Encoding\r\n\r\n",
          refusal::none,
          "200 OK 1.1 chunked keep [Date: Mon, 23 Nov 2026 10:00:00 GMT|Content-Type: text/event-stream; "
          "charset=utf-8|openai-processing-ms: 312|x-request-id: req_1|"
          "x-ratelimit-remaining-requests: 99|Server: cloudflare|CF-RAY: 1-FRA|Vary: Accept-Encoding]");
}

} // namespace

const std::vector<head_vector>& response_vectors() {
    static const std::vector<head_vector> rows = [] {
        table t;
        status_lines(t);
        framing(t);
        bodiless(t);
        interim(t);
        fields(t);
        return std::move(t.rows);
    }();
    return rows;
}

} // namespace evenkeel::test
