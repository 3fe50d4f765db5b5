#include "proxy/fallback/last_good_file.hpp"

#include <fmt/format.h>

#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <future>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace evenkeel::request {

namespace {
constexpr int our_application = 0x65766b6c; // "evkl", so that nobody else's database is taken for ours
constexpr int our_version = 1;
constexpr duration future_allowed = std::chrono::minutes{1}; // by which a clock may have been set back

std::int64_t milliseconds_of(wall_time when) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
}

std::string pack(const std::vector<std::pair<std::string, std::string>>& fields) {
    std::string out;
    for (const auto& [name, value] : fields) out.append(name).append(1, '\0').append(value).append(1, '\0');
    return out;
}

std::vector<std::pair<std::string, std::string>> unpack(std::string_view packed) {
    std::vector<std::pair<std::string, std::string>> out;
    while (!packed.empty()) {
        const auto name_end = packed.find('\0');
        const auto value_end = name_end == std::string_view::npos ? name_end : packed.find('\0', name_end + 1);
        if (value_end == std::string_view::npos) return {};
        out.emplace_back(packed.substr(0, name_end), packed.substr(name_end + 1, value_end - name_end - 1));
        packed.remove_prefix(value_end + 1);
    }
    return out;
}

hash_key::bytes checksum(const hash_key& with, const hash_key::bytes& key, std::int64_t kept_at, int status,
                         bool stream, std::string_view fields, std::string_view body) {
    std::string all(reinterpret_cast<const char*>(key.data()), key.size());
    all += fmt::format("row {} {} {} {}:", kept_at, status, stream, fields.size());
    all.append(fields).append(body);
    return with.digest(all);
}

std::string_view view(const hash_key::bytes& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Ours alone before SQLite sees it; empty: it is there.
std::string make_private(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (file < 0) return std::strerror(errno);
    struct stat about {};
    std::string wrong;
    if (::fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) {
        wrong = "not a regular file";
    } else if ((about.st_mode & 077) != 0 && ::fchmod(file, 0600) != 0) {
        wrong = std::strerror(errno);
    }
    ::close(file);
    return wrong;
}
} // namespace

// A statement that ends with its scope.
struct last_good_file::statement {
    statement(sqlite3* db, const char* sql) { sqlite3_prepare_v2(db, sql, -1, &it, nullptr); }
    ~statement() { sqlite3_finalize(it); }
    statement(const statement&) = delete;
    statement& operator=(const statement&) = delete;

    statement& bind(int place, std::string_view blob) {
        sqlite3_bind_blob64(it, place, blob.data(), blob.size(), SQLITE_STATIC);
        return *this;
    }
    statement& bind(int place, std::int64_t number) {
        sqlite3_bind_int64(it, place, number);
        return *this;
    }
    [[nodiscard]] int step() { return it != nullptr ? sqlite3_step(it) : SQLITE_ERROR; }
    [[nodiscard]] std::int64_t number(int column) { return sqlite3_column_int64(it, column); }
    [[nodiscard]] std::string_view blob(int column) {
        const void* const data = sqlite3_column_blob(it, column);
        return {static_cast<const char*>(data),
                data != nullptr ? static_cast<std::size_t>(sqlite3_column_bytes(it, column)) : 0};
    }

    sqlite3_stmt* it = nullptr;
};

last_good_file::last_good_file(std::string path, telemetry::app_log& log, last_good_file_options options)
    : path_(std::move(path)), log_(log), options_(std::move(options)) {}

last_good_file::~last_good_file() {
    thread_.stop(); // runs what was posted
    close();
}

void last_good_file::close() noexcept {
    sqlite3_close(std::exchange(db_, nullptr));
    works_.store(false, std::memory_order_relaxed);
}

bool last_good_file::run(const char* sql) { return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK; }

bool last_good_file::is_damage() const noexcept {
    const int code = db_ != nullptr ? sqlite3_errcode(db_) & 0xff : SQLITE_OK;
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

std::string last_good_file::last_error() const { return db_ != nullptr ? sqlite3_errmsg(db_) : "out of memory"; }

void last_good_file::failed(std::string_view what, std::string_view why) {
    errors_.fetch_add(1, std::memory_order_relaxed);
    log_.error(what, {{"path", path_}, {"error", why}});
}

void last_good_file::open(std::function<void(content)> done) {
    thread_.post([this, done = std::move(done)] { done(open_now()); });
}

last_good_file::content last_good_file::open_now() {
    std::string why;
    for (int attempt = 0; attempt < 2; ++attempt) {
        content found;
        state is = prepare(why);
        if (is == state::good) is = load(found, why);
        if (is == state::good) {
            found.key = key_;
            works_.store(true, std::memory_order_relaxed);
            return found;
        }
        close();
        if (is == state::unusable) break;
        if (attempt > 0) break;
        failed("the file of last good answers is damaged; it is moved aside and begun anew", why);
        move_aside();
    }
    failed("the file of last good answers cannot be used; they are kept in memory only", why);
    const std::lock_guard lock(mutex_);
    closed_ = true;
    queue_.clear();
    return {};
}

void last_good_file::move_aside() {
    std::rename(path_.c_str(), (path_ + ".corrupt").c_str());
    ::unlink((path_ + "-wal").c_str()); // belongs to the file that is no longer there
    ::unlink((path_ + "-shm").c_str());
}

last_good_file::state last_good_file::prepare(std::string& why) {
    why = make_private(path_);
    if (!why.empty()) return state::unusable;
    const auto judged = [&](std::string_view fallback = {}) {
        why = fallback.empty() ? last_error() : std::string{fallback};
        return is_damage() ? state::damaged : state::unusable;
    };
    if (sqlite3_open_v2(path_.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr) != SQLITE_OK)
        return judged();
    // Alone: a second process on the same file would take rows for lost that are only elsewhere.
    if (!run("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA "
             "temp_store = MEMORY"))
        return judged();
    std::int64_t application = 0, version = 0, tables = 0;
    {
        statement ask(db_, "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM "
                           "pragma_user_version), "
                           "(SELECT count(*) FROM sqlite_schema)");
        if (ask.step() != SQLITE_ROW) return judged();
        application = ask.number(0), version = ask.number(1), tables = ask.number(2);
    }
    if (application == 0 && tables == 0) return set_up() == state::good ? state::good : judged();
    if (application != our_application) {
        why = "it is another program's database";
        return state::unusable;
    }
    why = fmt::format("it is of version {}, not {}", version, our_version);
    return version == our_version ? state::good : state::damaged;
}

last_good_file::state last_good_file::set_up() {
    const auto setting =
        fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", our_application, our_version);
    const bool begun = run("BEGIN IMMEDIATE;"
                           "CREATE TABLE secret (id INTEGER PRIMARY KEY CHECK (id = 1), key BLOB NOT NULL);"
                           "CREATE TABLE answers (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, kept_at INTEGER "
                           "NOT NULL, status INTEGER NOT NULL,"
                           " stream INTEGER NOT NULL, size INTEGER NOT NULL, fields BLOB NOT NULL, checksum BLOB NOT "
                           "NULL, body BLOB NOT NULL);"
                           "CREATE INDEX answers_by_age ON answers (kept_at)");
    bool good = begun;
    if (good) {
        const hash_key fresh = hash_key::draw();
        statement keep(db_, "INSERT INTO secret VALUES (1, ?)");
        good = keep.bind(1, view(fresh.value())).step() == SQLITE_DONE;
    }
    good = good && run(setting.c_str()) && run("COMMIT");
    if (!good && begun) static_cast<void>(run("ROLLBACK"));
    return good ? state::good : state::unusable;
}

last_good_file::state last_good_file::load(content& out, std::string& why) {
    const auto broken = [&] {
        why = last_error();
        return is_damage() ? state::damaged : state::unusable;
    };
    {
        statement ask(db_, "SELECT key FROM secret");
        const int found = ask.step();
        if (found != SQLITE_ROW && found != SQLITE_DONE) return broken();
        hash_key::bytes bytes{};
        if (found == SQLITE_DONE || ask.blob(0).size() != bytes.size()) {
            why = "its key is missing";
            return state::damaged;
        }
        std::memcpy(bytes.data(), ask.blob(0).data(), bytes.size());
        key_.emplace(bytes);
    }
    const wall_time wall = options_.wall_now();
    const steady_time now = options_.now();
    const std::uint64_t limit = limit_.load(std::memory_order_relaxed);
    std::vector<std::int64_t> unwanted;
    std::uint64_t wrong = 0;
    bytes_ = 0;
    {
        statement all(
            db_, "SELECT id, key, kept_at, status, stream, fields, checksum, body FROM answers ORDER BY kept_at DESC");
        int step = all.step();
        for (; step == SQLITE_ROW; step = all.step()) {
            hash_key::bytes key{};
            const std::string_view fields = all.blob(5), body = all.blob(7);
            bool good = all.blob(1).size() == key.size();
            if (good) std::memcpy(key.data(), all.blob(1).data(), key.size());
            const int status = static_cast<int>(all.number(3));
            const bool stream = all.number(4) != 0;
            good = good && all.blob(6) == view(checksum(*key_, key, all.number(2), status, stream, fields, body));
            wrong += good ? 0 : 1;
            const wall_time kept_at{std::chrono::milliseconds{all.number(2)}};
            if (!good || kept_at > wall + future_allowed) {
                unwanted.push_back(all.number(0));
                continue;
            }
            auto answer = std::make_shared<stored_answer>();
            answer->status = status;
            answer->stream = stream;
            answer->fields = unpack(fields);
            answer->body = body;
            answer->kept_at = kept_at;
            answer->kept = now - std::max<duration>(wall - kept_at, duration::zero());
            if (bytes_ + answer->size() > limit) {
                unwanted.push_back(all.number(0));
                continue;
            }
            bytes_ += answer->size();
            out.rows.push_back({last_good_key{key}, std::move(answer)});
        }
        if (step != SQLITE_DONE) return broken();
    }
    errors_.fetch_add(wrong, std::memory_order_relaxed);
    if (wrong > 0)
        log_.warning("last good answers were damaged on disk and are dropped",
                     {{"path", path_}, {"count", std::to_string(wrong)}});
    for (const std::int64_t id : unwanted) {
        statement drop(db_, "DELETE FROM answers WHERE id = ?");
        if (drop.bind(1, id).step() != SQLITE_DONE) return broken();
    }
    return state::good;
}

void last_good_file::put(row kept) {
    const std::uint64_t size = kept.answer->size();
    const std::lock_guard lock(mutex_);
    const bool full =
        queue_.size() >= options_.max_queued || (!queue_.empty() && queued_bytes_ + size > options_.max_queued_bytes);
    if (closed_ || full) {
        dropped_.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    queue_.push_back(std::move(kept));
    queued_bytes_ += size;
    if (std::exchange(scheduled_, true)) return;
    thread_.post([this] { write_queued(); });
}

void last_good_file::lend(duration wait) {
    auto over = std::make_shared<std::promise<void>>();
    auto done = over->get_future();
    thread_.post([this, over] {
        write_queued();
        {
            const std::lock_guard lock(mutex_);
            lent_ = !std::exchange(closed_, true);
        }
        close();
        over->set_value();
    });
    done.wait_for(wait);
}

void last_good_file::take_back() {
    thread_.post([this] {
        if (!std::exchange(lent_, false)) return;
        std::string why;
        if (prepare(why) != state::good) {
            close();
            return failed("the file of last good answers cannot be used; they are kept in memory only", why);
        }
        works_.store(true, std::memory_order_relaxed);
        const std::lock_guard lock(mutex_);
        closed_ = false;
    });
}

void last_good_file::write_queued() {
    std::vector<row> rows;
    {
        const std::lock_guard lock(mutex_);
        rows.swap(queue_);
        queued_bytes_ = 0;
        scheduled_ = false;
    }
    if (rows.empty() || db_ == nullptr) return;
    if (options_.now() < paused_until_) {
        dropped_.fetch_add(rows.size(), std::memory_order_relaxed);
        return;
    }
    if (write(rows)) {
        if (std::exchange(complained_, false))
            log_.info("last good answers are written to their file again", {{"path", path_}});
        works_.store(true, std::memory_order_relaxed);
        return;
    }
    dropped_.fetch_add(rows.size(), std::memory_order_relaxed);
    write_failed();
}

bool last_good_file::write(const std::vector<row>& rows) {
    if (!run("BEGIN IMMEDIATE")) return false;
    const std::uint64_t before = bytes_;
    const bool good = std::all_of(rows.begin(), rows.end(), [this](const row& one) { return write_one(one); }) &&
                      keep_within_limit() && run("COMMIT");
    if (good) return true;
    bytes_ = before;
    return false; // rolled back by write_failed, which still reads the error
}

bool last_good_file::write_one(const row& one) {
    const stored_answer& answer = *one.answer;
    const auto& key = one.key.value();
    {
        statement old(db_, "SELECT size FROM answers WHERE key = ?");
        const int found = old.bind(1, view(key)).step();
        if (found != SQLITE_ROW && found != SQLITE_DONE) return false;
        if (found == SQLITE_ROW) bytes_ -= std::min(bytes_, static_cast<std::uint64_t>(old.number(0)));
    }
    const std::string fields = pack(answer.fields);
    const std::int64_t kept_at = milliseconds_of(answer.kept_at);
    const auto sum = checksum(*key_, key, kept_at, answer.status, answer.stream, fields, answer.body);
    statement keep(db_, "INSERT OR REPLACE INTO answers (key, kept_at, status, stream, size, fields, checksum, body) "
                        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    keep.bind(1, view(key)).bind(2, kept_at).bind(3, std::int64_t{answer.status}).bind(4, std::int64_t{answer.stream});
    keep.bind(5, static_cast<std::int64_t>(answer.size()))
        .bind(6, std::string_view{fields})
        .bind(7, view(sum))
        .bind(8, std::string_view{answer.body});
    bytes_ += answer.size();
    return keep.step() == SQLITE_DONE;
}

bool last_good_file::keep_within_limit() {
    while (bytes_ > limit_.load(std::memory_order_relaxed)) {
        std::int64_t id = 0;
        std::uint64_t size = 0;
        {
            statement oldest(db_, "SELECT id, size FROM answers ORDER BY kept_at LIMIT 1");
            if (oldest.step() != SQLITE_ROW) return false;
            id = oldest.number(0);
            size = static_cast<std::uint64_t>(oldest.number(1));
        }
        statement drop(db_, "DELETE FROM answers WHERE id = ?");
        if (drop.bind(1, id).step() != SQLITE_DONE) return false;
        bytes_ -= std::min(bytes_, size);
    }
    return true;
}

void last_good_file::write_failed() {
    const bool damage = is_damage();
    const std::string why = last_error();
    static_cast<void>(run("ROLLBACK"));
    works_.store(false, std::memory_order_relaxed);
    if (damage) {
        failed("the file of last good answers is damaged; it is moved aside and begun anew", why);
        close();
        move_aside();
        // The hashes in memory are of the old key; the new file goes on with it.
        std::string again;
        const std::optional<hash_key> key = key_;
        bytes_ = 0;
        if (prepare(again) == state::good) {
            statement keep(db_, "UPDATE secret SET key = ?");
            if (keep.bind(1, view(key->value())).step() == SQLITE_DONE)
                return works_.store(true, std::memory_order_relaxed);
        }
        close();
        failed("the file of last good answers cannot be used; they are kept in memory only", again);
        const std::lock_guard lock(mutex_);
        closed_ = true;
        return;
    }
    paused_until_ = options_.now() + options_.retry_pause;
    errors_.fetch_add(1, std::memory_order_relaxed);
    if (std::exchange(complained_, true)) return;
    log_.error("last good answers cannot be written to their file; they are kept in memory meanwhile",
               {{"path", path_}, {"error", why}});
}

} // namespace evenkeel::request
