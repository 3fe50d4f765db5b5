#include "vectors.hpp"

#include <utility>

namespace evenkeel::test {

namespace {

using wire::refusal;
using namespace std::string_literals;

// Escapes are octal with three digits, since a hexadecimal escape would swallow the letters behind it.
struct table {
    std::vector<head_vector> rows;

    void raw(std::string name, std::string bytes, refusal why, std::string parts = {}) {
        rows.push_back({std::move(name), std::move(bytes), why, std::move(parts)});
    }
    // A POST with these field lines behind Host.
    void fields(std::string name, const std::string& lines, refusal why, std::string parts = {}) {
        raw(std::move(name), "POST /v1 HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n\r\n", why, std::move(parts));
    }
    void target(std::string name, const std::string& text, refusal why, std::string parts = {}) {
        raw(std::move(name), "GET " + text + " HTTP/1.1\r\nHost: a\r\n\r\n", why, std::move(parts));
    }
    void host(std::string name, const std::string& value, refusal why) {
        raw("host/" + name, "GET / HTTP/1.1\r\nHost: " + value + "\r\n\r\n", why,
            why == refusal::none ? "GET / host=" + value + " 1.1 none keep []" : "");
    }
    void line(std::string name, const std::string& text, refusal why) {
        raw("line/" + name, text + "\r\nHost: a\r\n\r\n", why);
    }
};

void smuggling(table& t) {
    constexpr refusal both = refusal::length_and_transfer_encoding;
    t.fields("cl.te/cl first", "Content-Length: 5\r\nTransfer-Encoding: chunked", both);
    t.fields("cl.te/te first", "Transfer-Encoding: chunked\r\nContent-Length: 5", both);
    t.fields("cl.te/zero", "Content-Length: 0\r\nTransfer-Encoding: chunked", both);
    t.fields("cl.te/apart", "Content-Length: 5\r\nX: y\r\nAccept: */*\r\nTransfer-Encoding: chunked", both);
    t.fields("cl.te/te is no coding we know", "Content-Length: 5\r\nTransfer-Encoding: xchunked", both);
    t.fields("cl.te/te gzip", "Transfer-Encoding: gzip\r\nContent-Length: 5", both);
    t.fields("cl.te/te empty", "Transfer-Encoding:\r\nContent-Length: 5", both);
    t.fields("cl.te/te identity", "Transfer-Encoding: identity\r\nContent-Length: 5", both);
    t.fields("cl.te/bad length", "Transfer-Encoding: chunked\r\nContent-Length: x", both);
    t.fields("cl.te/case", "CONTENT-LENGTH: 5\r\ntransfer-encoding: CHUNKED", both);
    t.fields("cl.te/two of each",
             "Content-Length: 5\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
             both);
    t.raw("cl.te/http10", "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
          both);
}

void transfer_encoding(table& t) {
    constexpr refusal bad = refusal::bad_transfer_encoding;
    const std::string accepted = "POST /v1 host=a 1.1 chunked keep []";
    t.fields("te/chunked", "Transfer-Encoding: chunked", refusal::none, accepted);
    t.fields("te/case", "tRANSFER-eNCODING: cHUNKED", refusal::none, accepted);
    t.fields("te/no space", "Transfer-Encoding:chunked", refusal::none, accepted);
    t.fields("te/much space", "Transfer-Encoding:   chunked  ", refusal::none, accepted);
    t.fields("te/padded with tab before", "Transfer-Encoding: \t chunked", refusal::none, accepted);
    t.fields("te/padded with tab behind", "Transfer-Encoding: chunked \t ", refusal::none, accepted);
    const std::pair<const char*, std::string> refused[] = {
        {"gzip", "gzip"},
        {"identity", "identity"},
        {"xchunked", "xchunked"},
        {"chunkedx", "chunkedx"},
        {"empty", ""},
        {"comma", ","},
        {"leading comma", ",chunked"},
        {"trailing comma", "chunked,"},
        {"twice in list", "chunked, chunked"},
        {"cow", "cow, chunked"},
        {"chunked not last", "chunked, gzip"},
        {"parameter", "chunked;q=1"},
        {"quoted", "\"chunked\""},
        {"space inside", "chun ked"},
        {"tab inside", "chunked\tx"},
        {"chunked identity", "chunked, identity"},
        {"identity chunked", "identity, chunked"},
        {"semicolon", "chunked;"},
        {"high byte", "chunked\377"},
        {"nbsp", "\240chunked"},
        {"vertical bar", "chunked|"},
        {"colon", ": chunked"},
        {"dollar", "chunked$"},
        {"brackets", "[chunked]"},
        {"gzip not last", "gzip, chunked, deflate"},
    };
    for (const auto& [name, value] : refused) t.fields("te/"s + name, "Transfer-Encoding: " + value, bad);
    t.fields("te/gzip chunked", "Transfer-Encoding: gzip, chunked", refusal::transfer_encoding_not_supported);
    t.fields("te/deflate gzip chunked", "Transfer-Encoding: deflate,gzip ,  Chunked",
             refusal::transfer_encoding_not_supported);
    t.fields("te/two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", bad);
    t.fields("te/two lines, other second", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", bad);
    t.fields("te/two lines, other first", "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked", bad);
    t.fields("te/two lines, gzip first", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", bad);
    t.fields("te/two lines, empty first", "Transfer-Encoding:\r\nTransfer-Encoding: chunked", bad);
    t.fields("te/vertical tab", "Transfer-Encoding:\013chunked", refusal::bad_field_value);
    t.fields("te/form feed", "Transfer-Encoding: chunked\014", refusal::bad_field_value);
    t.fields("te/nul", "Transfer-Encoding: chunked\000"s, refusal::bad_field_value);
    t.fields("te/folded", "Transfer-Encoding:\r\n chunked", refusal::obs_fold);
    t.fields("te/folded after", "Transfer-Encoding: chunked\r\n , identity", refusal::obs_fold);
    t.fields("te/name with space", "Transfer-Encoding : chunked", refusal::bad_field_name);
    t.fields("te/name with tab", "Transfer-Encoding\t: chunked", refusal::bad_field_name);
    t.fields("te/leading space", " Transfer-Encoding: chunked", refusal::obs_fold);
    t.fields("te/bare CR before", "X: y\rTransfer-Encoding: chunked", refusal::bare_cr_or_lf);
    t.fields("te/bare LF before", "X: y\nTransfer-Encoding: chunked", refusal::bare_cr_or_lf);
    t.fields("te/underscore", "Transfer_Encoding: chunked", refusal::shadowed_field);
    t.fields("te/other name", "X-Transfer-Encoding: chunked", refusal::none,
             "POST /v1 host=a 1.1 none keep [X-Transfer-Encoding: chunked]");
    t.raw("te/http10", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", refusal::chunked_in_http10);
    t.raw("te/http10 gzip", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", bad);
    t.raw("te/get", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", refusal::none,
          "GET / host=a 1.1 chunked keep []");
}

void content_length(table& t) {
    constexpr refusal bad = refusal::bad_content_length;
    const auto accepted = [](const std::string& n) { return "POST /v1 host=a 1.1 length=" + n + " keep []"; };
    t.fields("cl/five", "Content-Length: 5", refusal::none, accepted("5"));
    t.fields("cl/zero", "Content-Length: 0", refusal::none, accepted("0"));
    t.fields("cl/leading zeros", "Content-Length: 0005", refusal::none, accepted("5"));
    t.fields("cl/no space", "Content-Length:5", refusal::none, accepted("5"));
    t.fields("cl/surrounded by spaces", "content-length:  5  ", refusal::none, accepted("5"));
    t.fields("cl/padded with tab before", "content-length:\t5", refusal::none, accepted("5"));
    t.fields("cl/padded with tab behind", "content-length: 5 \t", refusal::none, accepted("5"));
    t.fields("cl/padded with tabs on both sides", "Content-Length: \t 5 \t", refusal::none, accepted("5"));
    t.fields("cl/19 digits", "Content-Length: 9999999999999999999", refusal::none, accepted("9999999999999999999"));
    const std::pair<const char*, const char*> refused[] = {
        {"plus", "+5"},
        {"minus", "-5"},
        {"minus zero", "-0"},
        {"hex", "0x5"},
        {"list", "5, 5"},
        {"list differing", "5,6"},
        {"empty", ""},
        {"spaces", "   "},
        {"20 digits", "00000000000000000005"},
        {"2^64", "18446744073709551616"},
        {"2^64+5", "18446744073709551621"},
        {"fraction", "5.0"},
        {"exponent", "5e0"},
        {"letters", "five"},
        {"trailing letter", "5a"},
        {"inner space", "5 5"},
        {"inner tab", "5\t5"},
        {"semicolon", "5;"},
        {"trailing comma", "5,"},
        {"leading comma", ",5"},
        {"quoted", "\"5\""},
        {"underscore", "1_0"},
        {"octal", "0o5"},
        {"superscript", "\302\262"},
        {"arabic digit", "\331\245"},
        {"apostrophe", "1'000"},
        {"100 digits",
         "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000005"},
    };
    for (const auto& [name, value] : refused) t.fields("cl/"s + name, "Content-Length: "s + value, bad);
    t.fields("cl/two equal lines", "Content-Length: 5\r\nContent-Length: 5", refusal::duplicate_content_length);
    t.fields("cl/two lines", "Content-Length: 5\r\nContent-Length: 6", refusal::duplicate_content_length);
    t.fields("cl/two lines apart", "Content-Length: 5\r\nX: y\r\ncontent-length: 0", refusal::duplicate_content_length);
    t.fields("cl/second empty", "Content-Length: 5\r\nContent-Length:", refusal::duplicate_content_length);
    t.fields("cl/nul", "Content-Length: 5\000"s, refusal::bad_field_value);
    t.fields("cl/vertical tab", "Content-Length: \0135", refusal::bad_field_value);
    t.fields("cl/folded", "Content-Length: 5\r\n 6", refusal::obs_fold);
    t.fields("cl-name/space", "Content-Length : 5", refusal::bad_field_name);
    t.fields("cl-name/tab", "Content-Length\t: 5", refusal::bad_field_name);
    t.fields("cl-name/underscore", "Content_Length: 5", refusal::shadowed_field);
    t.fields("cl-name/underscore and real", "Content-Length: 5\r\nCONTENT_LENGTH: 6", refusal::shadowed_field);
    t.fields("cl-name/inner space", "Content Length: 5", refusal::bad_field_name);
    t.fields("cl-name/nul", "Content-Length\000: 5"s, refusal::bad_field_value);
    t.fields("cl-name/high byte", "Content-Length\377: 5", refusal::bad_field_name);
    t.fields("cl-name/quoted", "\"Content-Length\": 5", refusal::bad_field_name);
    t.fields("cl-name/prefix", "X-Content-Length: 5", refusal::none,
             "POST /v1 host=a 1.1 none keep [X-Content-Length: 5]");
    t.raw("cl/get with body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", refusal::none,
          "GET / host=a 1.1 length=5 keep []");
    t.raw("cl/delete with body", "DELETE /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n", refusal::none,
          "DELETE /x host=a 1.1 length=2 keep []");
    t.raw("cl/http10", "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\n", refusal::none,
          "POST / host=a 1.0 length=5 close []");
}

void field_lines(table& t) {
    t.fields("field/plain", "A: b", refusal::none, "POST /v1 host=a 1.1 none keep [A: b]");
    t.fields("field/empty value", "A:", refusal::none, "POST /v1 host=a 1.1 none keep [A: ]");
    t.fields("field/blank value", "A: \t ", refusal::none, "POST /v1 host=a 1.1 none keep [A: ]");
    t.fields("field/inner space", "A:  b  c\td  ", refusal::none, "POST /v1 host=a 1.1 none keep [A: b  c\td]");
    t.fields("field/repeated", "A: 1\r\nA: 2", refusal::none, "POST /v1 host=a 1.1 none keep [A: 1|A: 2]");
    t.fields("field/obs-text", "A: \303\244\377\200", refusal::none,
             "POST /v1 host=a 1.1 none keep [A: \303\244\377\200]");
    t.fields("field/every token character", "!#$%&'*+-.^_`|~09azAZ: v", refusal::none,
             "POST /v1 host=a 1.1 none keep [!#$%&'*+-.^_`|~09azAZ: v]");
    t.fields("field/colons in value", "A: b:c::d", refusal::none, "POST /v1 host=a 1.1 none keep [A: b:c::d]");
    t.fields("field/value starts with colon", "A::", refusal::none, "POST /v1 host=a 1.1 none keep [A: :]");
    t.fields("field/long name", "X-This-Name-Is-Longer-Than-Sixteen-Characters-By-Far: v", refusal::none,
             "POST /v1 host=a 1.1 none keep [X-This-Name-Is-Longer-Than-Sixteen-Characters-By-Far: v]");
    constexpr refusal name = refusal::bad_field_name;
    t.fields("field/empty-name", ": v", name);
    t.fields("field/empty-name and te", ": v\r\nTransfer-Encoding: chunked", name);
    t.fields("field/no colon", "Accept", name);
    t.fields("field/no colon, spaces", "Accept all", name);
    t.fields("field/space before colon", "Accept : v", name);
    t.fields("field/space in name", "Acc ept: v", name);
    for (const char c : "()<>@,;\\\"/[]?={}"s) t.fields("field/delimiter "s + c, "A"s + c + "B: v", name);
    t.fields("field/delimiter behind sixteen", "Abcdefghijklmnopqrstuvwxyz@: v", name);
    t.fields("field/high byte in name", "A\303\244: v", name);
    t.fields("field/high byte first", "\377A: v", name);
    t.fields("field/only high byte", "\200", name);
    t.fields("field/obs-fold space", "A: b\r\n c", refusal::obs_fold);
    t.fields("field/obs-fold tab", "A: b\r\n\tc", refusal::obs_fold);
    t.fields("field/obs-fold with a colon", "A: b\r\n C: d", refusal::obs_fold);
    t.fields("field/obs-fold blank", "A: b\r\n ", refusal::obs_fold);
    t.raw("field/fold at the first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", refusal::obs_fold);
    t.raw("field/fold at the first line, tab", "GET / HTTP/1.1\r\n\tx\r\nHost: a\r\n\r\n", refusal::obs_fold);
    constexpr refusal bare = refusal::bare_cr_or_lf;
    t.fields("field/bare LF", "A: b\nC: d", bare);
    t.fields("field/bare CR", "A: b\rC: d", bare);
    t.fields("field/CR CR LF", "A: b\r\r\nC: d", bare);
    t.fields("field/LF CR", "A: b\n\rC: d", bare);
    t.fields("field/bare CR in the name", "A\rB: c", bare);
    t.fields("field/bare LF in the name", "A\nB: c", bare);
    t.fields("field/CR at the value's start", "A:\rb", bare);
    t.raw("field/LF LF at the end", "GET / HTTP/1.1\r\nHost: a\n\n", bare);
    t.raw("field/LF at the very end", "GET / HTTP/1.1\r\nHost: a\r\n\n", bare);
    t.raw("field/CR CR at the end", "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", bare);
    t.raw("field/all LF", "GET / HTTP/1.1\nHost: a\n\n", bare);
    for (int c = 0; c < 0x20; ++c) {
        if (c == '\t' || c == '\r' || c == '\n') continue;
        t.fields("field/control " + std::to_string(c) + " in value", "A: b"s + static_cast<char>(c) + "c",
                 refusal::bad_field_value);
    }
    t.fields("field/DEL in value", "A: b\177c", refusal::bad_field_value);
    t.fields("field/NUL first in value", "A:\000b"s, refusal::bad_field_value);
    t.fields("field/NUL in name", "A\000B: c"s, refusal::bad_field_value);
    t.fields("field/escape in name", "A\033B: c", refusal::bad_field_value);
    t.fields("field/NUL behind sixteen", "A: 0123456789abcdef0123456789\000"s, refusal::bad_field_value);
    t.fields("field/tab in name", "A\tB: c", name);
}

void shadows(table& t) {
    constexpr refusal shadow = refusal::shadowed_field;
    for (const char* text : {"content_length", "Content_Length", "transfer_encoding", "TRANSFER_ENCODING", "x_api_key",
                             "X-Api_Key", "X_Goog_Api_Key", "x-goog_api-key", "api_key", "Proxy_Authorization",
                             "proxy_connection", "keep_alive", "http2_settings", "x_evenkeel_route", "X-Evenkeel_Route",
                             "x_evenkeel-tenant", "X_EVENKEEL_A_VERY_LONG_NAME_THAT_GOES_ON", "x_evenkeel_"})
        t.fields("shadow/"s + text, text + ": v"s, shadow);
    t.fields("shadow/harmless", "x_custom_field: v\r\nContent_Type: t", refusal::none,
             "POST /v1 host=a 1.1 none keep [x_custom_field: v|Content_Type: t]");
    t.fields("shadow/too long to be one", "content_length_x: v", refusal::none,
             "POST /v1 host=a 1.1 none keep [content_length_x: v]");
    t.fields("shadow/leading underscore", "_host: v", refusal::none, "POST /v1 host=a 1.1 none keep [_host: v]");
    t.fields("shadow/far behind", "x_first: v\r\nAccept: a\r\nx_last_api_key: v\r\napi_key: v", shadow);
    t.fields("shadow/own field with hyphens", "X-Evenkeel-Route: v", refusal::none,
             "POST /v1 host=a 1.1 none keep [X-Evenkeel-Route: v]");
}

void hosts(table& t) {
    for (const char* good :
         {"a", "localhost", "api.example.com", "example.com.", "EXAMPLE.com:443", "127.0.0.1", "127.0.0.1:8080",
          "[::1]", "[::1]:8080", "[2001:db8::1]", "[2001:DB8:0:0:8:800:200C:417A]:1", "[::ffff:1.2.3.4]", "[1::]",
          "my_service", "a-b.c~d:65535", "[::]", "[1:2:3:4:5:6:7::]", "[1:2:3:4:5:6:1.2.3.4]", "[::2:3:4:5:6:7:8]"})
        t.host("good "s + good, good, refusal::none);
    for (const char* bad : {":80",
                            "a:",
                            "a:b",
                            "a:0",
                            "a:65536",
                            "a:99999",
                            "a:-1",
                            "a:+1",
                            "a:080808",
                            "a b",
                            "a,b",
                            "a/b",
                            "a@b",
                            "user:pw@a",
                            "a?b",
                            "a#b",
                            "a\\b",
                            "[::1",
                            "::1",
                            "[]",
                            "[g::1]",
                            "[1:2:3]",
                            "[1:2:3:4:5:6:7:8:9]",
                            "[::1::2]",
                            "[::1]x",
                            "[::1]:",
                            "[:::]",
                            "[12345::]",
                            "[::1%25eth0]",
                            "[v1.fe80::a]",
                            "a%41",
                            ".a",
                            "a..b",
                            "a, a",
                            "http://a",
                            "a;b",
                            "a'b",
                            "(a)",
                            "a\303\244",
                            "a:80:80",
                            "[::1.2.3]",
                            "[::1.2.3.256]",
                            "[::01.2.3.4]",
                            "[1:2:3:4:5:6:7:1.2.3.4]",
                            "[1:2:3:4:5:6:7:8::]",
                            "[:1]",
                            "[1:]",
                            "*",
                            "{a}",
                            "a!",
                            "\"a\"",
                            "|",
                            "^"})
        t.host("bad "s + bad, bad, refusal::bad_host);
    t.raw("host/missing", "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", refusal::missing_host);
    t.raw("host/no fields", "GET / HTTP/1.1\r\n\r\n", refusal::missing_host);
    t.raw("host/missing in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", refusal::missing_host);
    t.raw("host/empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", refusal::bad_host);
    t.raw("host/blank", "GET / HTTP/1.1\r\nHost: \t \r\n\r\n", refusal::bad_host);
    t.raw("host/two", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", refusal::duplicate_host);
    t.raw("host/two equal", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: a\r\n\r\n", refusal::duplicate_host);
    t.raw("host/second empty", "GET / HTTP/1.1\r\nHost: a\r\nHost:\r\n\r\n", refusal::duplicate_host);
    t.raw("host/space before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", refusal::bad_field_name);
    t.raw("host/NUL", "GET / HTTP/1.1\r\nHost: a\000b\r\n\r\n"s, refusal::bad_field_value);
    t.raw("host/folded", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", refusal::obs_fold);
    t.raw("host/last", "GET / HTTP/1.1\r\nA: b\r\nHost: x:1\r\n\r\n", refusal::none,
          "GET / host=x:1 1.1 none keep [A: b]");
}

void request_lines(table& t) {
    for (const char* method : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
        t.raw("method/"s + method, method + " /p HTTP/1.1\r\nHost: a\r\n\r\n"s, refusal::none,
              method + " /p host=a 1.1 none keep []"s);
    for (const char* method :
         {"get", "Post", "PROPFIND", "PRI", "LINK", "X", "GETT", "PURGE", "M-SEARCH", "QUERY", "!"})
        t.line("method "s + method, method + " / HTTP/1.1"s, refusal::method_not_supported);
    t.line("CONNECT", "CONNECT a:443 HTTP/1.1", refusal::method_not_allowed);
    t.line("CONNECT with path", "CONNECT / HTTP/1.1", refusal::method_not_allowed);
    t.line("TRACE", "TRACE / HTTP/1.1", refusal::method_not_allowed);
    for (const char* method : {"G@T", "GET(", "GET\"", "GE:T", "G\303\211T", "GET,", "GET/", "{GET}"})
        t.line("bad method "s + method, method + " / HTTP/1.1"s,
               method[0] == '{' ? refusal::bad_request_line : refusal::bad_method);
    constexpr refusal bad = refusal::bad_request_line;
    t.line("empty line first", "", bad);
    t.line("leading space", " GET / HTTP/1.1", bad);
    t.line("leading tab", "\tGET / HTTP/1.1", bad);
    t.line("only a method", "GET", bad);
    t.line("no version (HTTP/0.9)", "GET /", bad);
    t.line("no version, space", "GET / ", refusal::bad_version);
    t.line("no target", "GET HTTP/1.1", bad);
    t.line("no target, two spaces", "GET  HTTP/1.1", bad);
    t.line("two spaces before the target", "GET  / HTTP/1.1", bad);
    t.line("two spaces before the version", "GET /  HTTP/1.1", bad);
    t.line("trailing space", "GET / HTTP/1.1 ", bad);
    t.line("space in the target", "GET /a b HTTP/1.1", bad);
    t.line("two versions", "GET / HTTP/1.1 HTTP/1.1", bad);
    t.line("tab instead of space", "GET\t/ HTTP/1.1", refusal::bad_method);
    t.line("tab before the version", "GET /\tHTTP/1.1", bad);
    t.line("tab in the target", "GET /a\tb HTTP/1.1", refusal::bad_target);
    t.line("vertical tab", "GET\013/ HTTP/1.1", bad);
    t.line("NUL in the target", "GET /\000 HTTP/1.1"s, bad);
    t.line("NUL in the method", "G\000T / HTTP/1.1"s, bad);
    t.line("DEL in the target", "GET /\177 HTTP/1.1", bad);
    t.line("bare CR", "GET / HTTP/1.1\r", refusal::bare_cr_or_lf);
    t.line("bare CR in the target", "GET /\r HTTP/1.1", refusal::bare_cr_or_lf);
    t.line("bare LF in the target", "GET /\n HTTP/1.1", refusal::bare_cr_or_lf);
    t.raw("line/LF ends the line", "GET / HTTP/1.1\nHost: a\r\n\r\n", refusal::bare_cr_or_lf);
    t.raw("line/CRLF before the line", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", bad);
    t.raw("line/TLS hello", "\026\003\001\002\000\001\000\001\374\003\003"s, bad);
    t.raw("line/HTTP2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refusal::version_not_supported);
    for (const char* version : {"HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9", "HTTP/1.9"})
        t.line("version "s + version, "GET / "s + version, refusal::version_not_supported);
    for (const char* version :
         {"HTTP/1",    "HTTP/2",    "HTTP/1.",  "HTTP/.1",   "HTTP/1.1.1",      "HTTP/11.1", "HTTP/1.10",
          "HTTP/1,1",  "http/1.1",  "Http/1.1", "HTTP 1.1x", "HTTP/01.1",       "HTTP/1.1x", "HTTP/+1.1",
          "HTTPS/1.1", "XHTTP/1.1", "1.1",      "HTTP/a.b",  "HTTP/1.\303\244", "HTTP\\1.1"})
        t.line("version "s + version, "GET / "s + version,
               std::string(version).find(' ') == std::string::npos ? refusal::bad_version : bad);
    t.raw("version/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", refusal::none, "GET / host=a 1.0 none close []");
    t.raw("version/1.0 keep-alive", "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", refusal::none,
          "GET / host=a 1.0 none keep []");
}

void targets(table& t) {
    for (const char* good : {"/",
                             "/v1/chat/completions",
                             "/v1/models/gpt-4o:generate",
                             "/a?b=c",
                             "/?",
                             "/a?",
                             "/a?b?c",
                             "/a?//../%2e",
                             "/a?x=%zz",
                             "/a/",
                             "/a.b/c..d/e.",
                             "/...",
                             "/.../x",
                             "/.well-known/x",
                             "/..a",
                             "/.a/b",
                             "/a;b=c",
                             "/a/b;v=1/c",
                             "/%20",
                             "/a%3Ab",
                             "/a%3ab",
                             "/a%25b",
                             "/a%C3%A4",
                             "/~u",
                             "/a@b:c",
                             "/(x)'!*$&+,=",
                             "/v1beta/models/gemini-2.0-flash:streamGenerateContent?alt=sse",
                             "/a\"b",
                             "/{x}",
                             "/a|b",
                             "/a^b",
                             "/a`b",
                             "/<x>",
                             "/v1/models/meta-llama%2FLlama-3.1-8B-Instruct",
                             "/v1/models/a%2fb%2f..c%2F",
                             "/a%2F%2Fb",
                             "/%2F",
                             "/%5c",
                             "/a%5Cb",
                             "/%41",
                             "/%61dmin",
                             "/v1/%63hat",
                             "/%2d",
                             "/%5f",
                             "/%7euser",
                             "/%30",
                             "/a%2e",
                             "/a.%2E",
                             "/%2e%2e%2e",
                             "/..%20",
                             "/a%3F%23"})
        t.target("target/good "s + good, good, refusal::none, "GET "s + good + " host=a 1.1 none keep []");
    const std::pair<const char*, const char*> merged[] = {
        {"//", "/"},
        {"///", "/"},
        {"//v1/chat/completions", "/v1/chat/completions"},
        {"//a/b", "/a/b"},
        {"/a//b", "/a/b"},
        {"/a//", "/a/"},
        {"/a////b//?c//d", "/a/b/?c//d"},
        {"/http://a/", "/http:/a/"},
        {"http://a//b", "/b"},
        {"http://a//b?http://c", "/b?http://c"},
    };
    for (const auto& [from, to] : merged)
        t.target("target/merged "s + from, from, refusal::none, "GET "s + to + " host=a 1.1 none keep []");
    for (const char* bad : {"*",
                            "a",
                            "foo/bar",
                            "a:443",
                            "/.",
                            "/..",
                            "/./",
                            "/../",
                            "/a/.",
                            "/a/..",
                            "/a/./b",
                            "/a/../b",
                            "/../../etc/passwd",
                            "/%2e",
                            "/%2E%2e/",
                            "/a/%2e%2e/b",
                            "/.%2e/a",
                            "/a/.%2E",
                            "//..",
                            "/a//../b",
                            "/..%2fa",
                            "/a%2F..",
                            "/a%2f%2E%2e%2fb",
                            "/a%5c..%5Cb",
                            "/v1/models/x%2F..%2F..%2Fadmin",
                            "/a%2f.?b",
                            "/%2e;/a",
                            "/a%2f..%3B/b",
                            "/%2E%2",
                            "/a%00b",
                            "/%00",
                            "/%0d%0aX:y",
                            "/%7f",
                            "/%1f",
                            "/%",
                            "/%4",
                            "/%zz",
                            "/a%",
                            "/a%2",
                            "/%g1",
                            "/%1g",
                            "/\\",
                            "/a\\b",
                            "/a\\..\\b",
                            "/#",
                            "/a#b",
                            "/a?b#c",
                            "#",
                            "/..;/a",
                            "/.;/",
                            "/a/..;x=y/b",
                            "/..;",
                            "/.;a",
                            "/..%3b/a",
                            "/.%3Bx",
                            "/\303\244",
                            "/a\200",
                            "/a?\377",
                            "\377",
                            "?a",
                            "?",
                            "/a?b\\c",
                            "http:",
                            "http:/",
                            "http://",
                            "http:///",
                            "http:///a",
                            "http://a",
                            "http://a?x",
                            "ftp://a/",
                            "ws://a/",
                            "httpx://a/",
                            "https:/a/",
                            "http:a/",
                            "http://u@a/",
                            "http://u:p@a/",
                            "http://a:x/",
                            "http://a/../b",
                            "http://a/#f",
                            "http://a\\b/",
                            "http://[::1/",
                            "HTTP//a/"})
        t.target("target/bad "s + bad, bad, refusal::bad_target);
    t.target("target/absolute", "http://a/", refusal::none, "GET / host=a 1.1 none keep []");
    t.target("target/absolute https", "HTTPS://A/x?y=z", refusal::none, "GET /x?y=z host=a 1.1 none keep []");
    t.target("target/absolute other host", "http://b/", refusal::host_mismatch);
    t.target("target/absolute with port", "http://a:80/", refusal::host_mismatch);
    t.target("target/absolute longer host", "http://a.b/", refusal::host_mismatch);
    t.raw("target/absolute with equal port", "GET http://A:81/x HTTP/1.1\r\nHost: a:81\r\n\r\n", refusal::none,
          "GET /x host=a:81 1.1 none keep []");
    t.raw("target/absolute and port in Host", "GET http://a/x HTTP/1.1\r\nHost: a:81\r\n\r\n", refusal::host_mismatch);
    t.raw("target/absolute without Host", "GET http://a/x HTTP/1.1\r\n\r\n", refusal::missing_host);
    t.raw("target/absolute IPv6", "GET http://[::1]:8/x HTTP/1.1\r\nHost: [::1]:8\r\n\r\n", refusal::none,
          "GET /x host=[::1]:8 1.1 none keep []");
    t.raw("target/options asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", refusal::bad_target);
}

void connection(table& t) {
    const auto accepted = [](const std::string& rest) { return "POST /v1 host=a 1.1 none " + rest; };
    t.fields("hop/close", "Connection: close", refusal::none, accepted("close []"));
    t.fields("hop/keep-alive", "Connection: keep-alive", refusal::none, accepted("keep []"));
    t.fields("hop/close wins", "Connection: keep-alive, CLOSE", refusal::none, accepted("close []"));
    t.fields("hop/two lines", "Connection: keep-alive\r\nConnection: close", refusal::none, accepted("close []"));
    t.fields("hop/empty", "Connection:", refusal::none, accepted("keep []"));
    t.fields("hop/empty elements", "Connection: ,, close ,,", refusal::none, accepted("close []"));
    t.fields("hop/not a close", "Connection: closed, x-close", refusal::none, accepted("keep []"));
    t.fields("hop/nominated is dropped", "X-A: 1\r\nConnection: x-a, close\r\nx-A: 2\r\nX-B: 3", refusal::none,
             accepted("close [X-B: 3]"));
    t.fields("hop/nominated before and behind", "X-A: 1\r\nX-B: 2\r\nConnection: X-a\r\nConnection: X-b\r\nX-C: 3",
             refusal::none, accepted("keep [X-C: 3]"));
    t.fields("hop/nominated absent", "Connection: x-absent\r\nX-B: 2", refusal::none, accepted("keep [X-B: 2]"));
    t.fields("hop/hop-by-hop are dropped",
             "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: X\r\nHTTP2-Settings: "
             "AAA\r\nUpgrade: x\r\nProxy-Authorization: Basic x\r\nProxy-Authenticate: Basic\r\nA: b",
             refusal::none, accepted("keep [A: b]"));
    t.fields("hop/nominating hop-by-hop", "Connection: te, keep-alive, trailer\r\nTE: trailers", refusal::none,
             accepted("keep []"));
    t.fields("hop/proxy-connection close", "Proxy-Connection: close", refusal::none, accepted("close []"));
    constexpr refusal bad = refusal::bad_connection;
    for (const char* name : {"content-length", "Transfer-Encoding", "host", "HOST", "authorization",
                             "Proxy-Authorization", "x-api-key", "X-Goog-Api-Key", "api-key", "cookie",
                             "x-evenkeel-route", "X-EVENKEEL-anything", "content_length", "x_api_key"})
        t.fields("hop/nominates "s + name, "Connection: close, "s + name, bad);
    t.fields("hop/nominates in a second line", "Connection: close\r\nA: b\r\nConnection: authorization", bad);
    for (const char* value :
         {"a b", "close;", "\"close\"", "x=y", "(c)", "close/1", "a:b", "\303\244", "close, a b, x"})
        t.fields("hop/malformed "s + value, "Connection: "s + value, bad);
    std::string many = "Connection: ";
    for (int i = 0; i < 32; ++i) many += "n" + std::to_string(i) + (i == 31 ? "" : ", ");
    t.fields("hop/32 nominations", many + "\r\nN31: x\r\nA: b", refusal::none, accepted("keep [A: b]"));
    t.fields("hop/33 nominations", many + ", n32", bad);
    constexpr refusal upgrade = refusal::upgrade_not_supported;
    t.fields("hop/upgrade-websocket", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x", upgrade);
    t.fields("hop/upgrade-websocket in a list", "Connection: upgrade\r\nUpgrade: h2c, WebSocket", upgrade);
    t.fields("hop/upgrade-websocket in a second line", "Upgrade: h2c\r\nConnection: upgrade\r\nUpgrade: websocket",
             upgrade);
    t.raw("hop/upgrade-websocket from HTTP/1.0",
          "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", refusal::none,
          "GET / host=a 1.0 none close []");
    t.fields("hop/upgrade-h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
             refusal::none, accepted("keep []"));
    t.fields("hop/upgrade-h2c list", "Upgrade: foo, h2c\r\nConnection: keep-alive, upgrade", refusal::none,
             accepted("keep []"));
    t.fields("hop/upgrade-TLS", "Upgrade: TLS/1.0\r\nConnection: upgrade\r\nA: b", refusal::none,
             accepted("keep [A: b]"));
    t.fields("hop/upgrade-not nominated", "Upgrade: h2c\r\nA: b", refusal::none, accepted("keep [A: b]"));
    t.fields("hop/upgrade-without the field", "Connection: upgrade\r\nA: b", refusal::none, accepted("keep [A: b]"));
    t.raw("hop/http10 close", "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", refusal::none,
          "GET / host=a 1.0 none close []");
}

void expect(table& t) {
    t.fields("expect/with length", "Content-Length: 5\r\nExpect: 100-continue", refusal::none,
             "POST /v1 host=a 1.1 length=5 keep continue []");
    t.fields("expect/case", "Transfer-Encoding: chunked\r\nEXPECT: 100-Continue", refusal::none,
             "POST /v1 host=a 1.1 chunked keep continue []");
    t.fields("expect/with a Connection", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: close",
             refusal::none, "POST /v1 host=a 1.1 chunked close continue []");
    t.fields("expect/no body", "Expect: 100-continue", refusal::none, "POST /v1 host=a 1.1 none keep []");
    t.fields("expect/empty body", "Content-Length: 0\r\nExpect: 100-continue", refusal::none,
             "POST /v1 host=a 1.1 length=0 keep []");
    t.raw("expect/http10", "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
          refusal::none, "POST / host=a 1.0 length=5 close []");
    for (const char* value :
         {"", "200-ok", "100-continue, x", "100-continue;q=1", "100", "100-continuex", "\"100-continue\""})
        t.fields("expect/bad '"s + value + "'", "Content-Length: 5\r\nExpect: "s + value, refusal::bad_expect);
    t.fields("expect/second is other", "Content-Length: 5\r\nExpect: 100-continue\r\nExpect: x", refusal::bad_expect);
}

void limits(table& t) {
    const std::string a16k(16 * 1024 - 1, 'a');
    t.target("limit/longest target", "/" + a16k, refusal::none, "GET /" + a16k + " host=a 1.1 none keep []");
    t.target("limit/target one too long", "/a" + a16k, refusal::target_too_long);
    t.target("limit/target far too long", "/" + std::string(50000, 'a'), refusal::target_too_long);
    t.raw("limit/endless method", std::string(70000, 'G'), refusal::target_too_long);
    const std::string start = "GET / HTTP/1.1\r\nHost: a\r\nA: ";
    const std::size_t room = 64 * 1024 - start.size() - 4;
    t.raw("limit/largest head", start + std::string(room, 'x') + "\r\n\r\n", refusal::none);
    t.raw("limit/head one byte too large", start + std::string(room + 1, 'x') + "\r\n\r\n", refusal::head_too_large);
    t.raw("limit/endless value", start + std::string(70000, 'x'), refusal::head_too_large);
    t.raw("limit/endless name", "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(70000, 'x'), refusal::head_too_large);
    std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 1; i < 128; ++i) many += "A: b\r\n";
    t.raw("limit/128 fields", many + "\r\n", refusal::none);
    t.raw("limit/129 fields", many + "A: b\r\n\r\n", refusal::too_many_fields);
    t.raw("limit/many small fields", many + many, refusal::bad_field_name); // the second request line is no field
}

void realistic(table& t) {
    t.raw("real/openai node",
          "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: keep-alive\r\nContent-Type: "
          "application/json\r\n"
          "Accept: application/json\r\nUser-Agent: OpenAI/JS 6.49.0\r\nx-stainless-retry-count: "
          "0\r\nx-stainless-timeout: 600\r\n"
          "authorization: Bearer sk-x\r\naccept-language: *\r\nsec-fetch-mode: cors\r\naccept-encoding: gzip, "
          "deflate\r\nContent-Length: 120\r\n\r\n",
          refusal::none,
          "POST /v1/chat/completions host=127.0.0.1:8080 1.1 length=120 keep [Content-Type: application/json|Accept: "
          "application/json|"
          "User-Agent: OpenAI/JS 6.49.0|x-stainless-retry-count: 0|x-stainless-timeout: 600|authorization: Bearer "
          "sk-x|accept-language: *|"
          "sec-fetch-mode: cors|accept-encoding: gzip, deflate]");
    t.raw("real/curl",
          "GET /v1/models HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
          refusal::none, "GET /v1/models host=localhost:8080 1.1 none keep [User-Agent: curl/7.88.1|Accept: */*]");
}

} // namespace

const std::vector<head_vector>& request_vectors() {
    static const std::vector<head_vector> rows = [] {
        table t;
        smuggling(t);
        transfer_encoding(t);
        content_length(t);
        field_lines(t);
        shadows(t);
        hosts(t);
        request_lines(t);
        targets(t);
        connection(t);
        expect(t);
        limits(t);
        realistic(t);
        return std::move(t.rows);
    }();
    return rows;
}

} // namespace evenkeel::test
