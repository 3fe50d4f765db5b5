#include "vectors.hpp"

#include <utility>

namespace evenkeel::test {

namespace {

using wire::refusal;
using namespace std::string_literals;

struct table {
    std::vector<chunk_vector> rows;

    void good(std::string name, std::string bytes, std::string body, std::string rest = {}) {
        rows.push_back({"chunk/" + std::move(name), bytes + rest, refusal::none, std::move(body), rest, true});
    }
    void bad(std::string name, std::string bytes, refusal why = refusal::bad_chunk, std::string body = {}) {
        rows.push_back({"chunk/" + std::move(name), std::move(bytes), why, std::move(body), {}, true});
    }
    void open(std::string name, std::string bytes, std::string body) {
        rows.push_back({"chunk/" + std::move(name), std::move(bytes), refusal::none, std::move(body), {}, false});
    }
};

void sizes(table& t) {
    t.good("one", "5\r\nhello\r\n0\r\n\r\n", "hello");
    t.good("none", "0\r\n\r\n", "");
    t.good("two", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world");
    t.good("case of digits", "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789");
    t.good("leading zeros", "0005\r\nhello\r\n000\r\n\r\n", "hello");
    t.good("16 digits", "0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello");
    t.good("next message behind", "0\r\n\r\n", "", "GET / HTTP/1.1\r\n");
    t.good("next message behind data", "1\r\nx\r\n0\r\n\r\n", "x", "0\r\n\r\n");
    t.good("CRLF in the data", "6\r\na\r\nb\r\n\r\n0\r\n\r\n", "a\r\nb\r\n");
    t.good("chunk look-alike in the data", "5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n");
    t.open("cut in the size", "5", "");
    t.open("cut in the data", "5\r\nhel", "hel");
    t.open("cut behind the data", "5\r\nhello", "hello");
    t.open("cut before the last chunk", "5\r\nhello\r\n", "hello");
    t.open("cut in the last chunk", "5\r\nhello\r\n0\r\n", "hello");
    t.open("cut in the last CRLF", "5\r\nhello\r\n0\r\n\r", "hello");
    t.open("largest size", "ffffffffffffffff\r\nx", "x");
    for (const char* size : {"",
                             " 5",
                             "\t5",
                             "+5",
                             "-5",
                             "0x5",
                             "g",
                             "5g",
                             "5 5",
                             "5,5",
                             "5.",
                             "#5",
                             "'5'",
                             "\"5\"",
                             "_5",
                             "5_0",
                             "\3075",
                             "00000000000000005",
                             "10000000000000000",
                             "fffffffffffffffff",
                             "5 ",
                             "5\t",
                             "5  ",
                             "5:",
                             "5/",
                             "5=x",
                             "5 x"})
        t.bad("size '"s + size + "'", size + "\r\nhello\r\n0\r\n\r\n"s);
    t.bad("NUL behind the size", "5\000\r\nhello\r\n0\r\n\r\n"s);
    t.bad("line feed behind the size", "5\nhello\r\n0\r\n\r\n");
    t.bad("carriage return behind the size", "5\rhello\r\n0\r\n\r\n");
    t.bad("two carriage returns", "5\r\r\nhello\r\n0\r\n\r\n");
    t.bad("vertical tab", "5\013\r\nhello\r\n0\r\n\r\n");
    t.bad("data too long", "4\r\nhello\r\n0\r\n\r\n", refusal::bad_chunk, "hell");
    t.bad("data too short", "6\r\nhello\r\n0\r\n\r\n", refusal::bad_chunk, "hello\r");
    t.bad("no CRLF behind the data", "5\r\nhello0\r\n\r\n", refusal::bad_chunk, "hello");
    t.bad("line feed behind the data", "5\r\nhello\n0\r\n\r\n", refusal::bad_chunk, "hello");
    t.bad("carriage return behind the data", "5\r\nhello\r0\r\n\r\n", refusal::bad_chunk, "hello");
    t.bad("two CRLF behind the data", "5\r\nhello\r\n\r\n0\r\n\r\n", refusal::bad_chunk, "hello");
    t.bad("space behind the data", "5\r\nhello \r\n0\r\n\r\n", refusal::bad_chunk, "hello");
    t.bad("empty line first", "\r\n5\r\nhello\r\n0\r\n\r\n");
}

void extensions(table& t) {
    for (const char* ext :
         {";a", ";a=b", ";a=b;c=d", ";a=\"b\"", ";a=\"\"", ";a=\"b;c=d\"", ";a=\"\\\"\"", ";a=\"\\\\\"",
          ";a=\"\t \303\244\"", ";a;b;c", ";!#$%&'*+-.^_`|~=x", ";a=5\r\nhello\r\n0;last=\"x\""}) {
        const bool both = std::string(ext).find("last") != std::string::npos;
        t.good("ext-good '"s + ext + "'",
               both ? "5"s + ext + "\r\n\r\n" : "5"s + ext + "\r\nhello\r\n0" + ext + "\r\n\r\n", "hello");
    }
    for (const char* ext :
         {";",           ";;",          ";;a",    ";a;",         ";=b",         ";a=",           ";a==b",
          ";a=b=c",      ";a b",        ";a=b c", ";a=\"b",      ";a=\"b\"c",   ";a=\"b\"\"c\"", ";a=b\"",
          ";(",          ";a=(",        ";a\\",   ";a=\"\177\"", ";a=\"\001\"", ";a=\"b\r\n\"",  ";a=\"b\nc\"",
          ";a=\"\\\r\"", ";a=\"\\\n\"", ";a\n",   ";a=b\n",      ";a\r",        ";\303\244",     ";a ",
          ";a=b ",       ";a=\"b\" ",   ";a= ",   "; ",          ";a:b",        ";a@",           ";a,b",
          " ;a",         "\t;a",        "; a",    ";a =b",       ";a= b",       ";a=b ;c",       ";a=\"b\" ;c"})
        t.bad("ext-bad '"s + printable(ext) + "'", "5"s + ext + "\r\nhello\r\n0\r\n\r\n");
    t.bad("ext-bad NUL", "5;a=\000\r\nhello\r\n0\r\n\r\n"s);
    t.bad("ext-bad NUL quoted", "5;a=\"\000\"\r\nhello\r\n0\r\n\r\n"s);
    t.good("ext-longest line", "5;" + std::string(1020, 'a') + "\r\nhello\r\n0\r\n\r\n", "hello");
    t.bad("ext-line too long", "5;" + std::string(1021, 'a') + "\r\nhello\r\n0\r\n\r\n", refusal::chunk_line_too_long);
    t.bad("ext-endless", "5;" + std::string(100000, 'a'), refusal::chunk_line_too_long);
    t.bad("ext-endless quoted", "5;a=\"" + std::string(100000, 'a'), refusal::chunk_line_too_long);
    t.bad("ext-endless spaces", "5" + std::string(100000, ' '));
}

void trailers(table& t) {
    t.good("trailer", "0\r\nX: y\r\n\r\n", "", "more");
    t.good("trailer empty value", "0\r\nX:\r\n\r\n", "");
    t.good("trailers",
           "1\r\na\r\n0\r\nX: y\r\nExpires: never\r\nx-long-trailer-name-goes-on-and-on: \303\244 \t\r\n\r\n", "a");
    for (const char* name : {"Content-Length",
                             "transfer-encoding",
                             "Host",
                             "authorization",
                             "Proxy-Authorization",
                             "X-Api-Key",
                             "x-goog-api-key",
                             "api-key",
                             "cookie",
                             "connection",
                             "keep-alive",
                             "te",
                             "trailer",
                             "upgrade",
                             "proxy-connection",
                             "x-evenkeel-outcome",
                             "content_length",
                             "Transfer_Encoding",
                             "x_api_key",
                             "x_evenkeel_a_long_name_indeed"})
        t.bad("trailer-forbidden "s + name, "0\r\n"s + name + ": 5\r\n\r\n", refusal::bad_trailer);
    t.bad("trailer-forbidden second", "0\r\nA: b\r\nHost: c\r\n\r\n", refusal::bad_trailer);
    for (const char* line : {"X", ": y", "X : y", " X: y", "X\t: y", "X: y\r\n z", "X: y\r\n\tz", "X: y\nZ: a",
                             "X: y\rZ: a", "X: \001", "X: \177", "X@: y", "\303\244: y", "GET / HTTP/1.1"})
        t.bad("trailer-bad '"s + printable(line) + "'", "0\r\n"s + line + "\r\n\r\n", refusal::bad_trailer);
    t.bad("trailer-bad NUL", "0\r\nX: \000\r\n\r\n"s, refusal::bad_trailer);
    t.bad("trailer-bad LF at the end", "0\r\n\n", refusal::bad_trailer);
    t.bad("trailer-bad CR at the end", "0\r\n\rX", refusal::bad_trailer);
    t.bad("trailer-bad data behind the last chunk", "0\r\nhello\r\n\r\n", refusal::bad_trailer);
    t.good("trailer-largest", "0\r\nX: " + std::string(8192 - 7, 'a') + "\r\n\r\n", "");
    t.bad("trailer-too large", "0\r\nX: " + std::string(8192 - 6, 'a') + "\r\n\r\n", refusal::trailer_too_large);
    t.bad("trailer-endless name", "0\r\n" + std::string(100000, 'a'), refusal::trailer_too_large);
    std::string many = "0\r\n";
    for (int i = 0; i < 3000; ++i) many += "A: b\r\n";
    t.bad("trailer-1m", many + "\r\n", refusal::trailer_too_large);
}

void overhead(table& t) {
    std::string small;
    std::string body;
    for (int i = 0; i < 30000; ++i) {
        small += "1\r\nx\r\n";
        body += 'x';
    }
    t.good("one-byte chunks", small + "0\r\n\r\n", body);
    std::string wasteful;
    std::string first;
    for (int i = 0; i < 3000; ++i) wasteful += "1;" + std::string(60, 'e') + "\r\nx\r\n";
    // 64 + 2 framing bytes each; the grace of 65536 is spent when the 994th size line ends: 993 * 66 + 64 bytes.
    for (int i = 0; i < 993; ++i) first += 'x';
    t.bad("ext-flood", wasteful, refusal::chunk_overhead, first);
}

} // namespace

const std::vector<chunk_vector>& chunk_vectors() {
    static const std::vector<chunk_vector> rows = [] {
        table t;
        sizes(t);
        extensions(t);
        trailers(t);
        overhead(t);
        return std::move(t.rows);
    }();
    return rows;
}

} // namespace evenkeel::test
