"""Reads the generator's lines and parses each message with h11, which must see the same message end in the same place."""

import json
import sys

import h11

# Larger than any generated head; h11's own default is 16 KiB.
LIMIT = 1 << 20


def events_of(row):
    """(head, body, rest) as h11 reads them; raises on a protocol error."""
    if row["kind"] == "request":
        connection = h11.Connection(our_role=h11.SERVER, max_incomplete_event_size=LIMIT)
    else:
        connection = h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=LIMIT)
        method = "HEAD" if row["head_request"] else "GET"
        connection.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
        connection.send(h11.EndOfMessage())
    connection.receive_data(row["bytes"].encode("latin-1"))
    if row["until_close"]:
        connection.receive_data(b"")
    head = None
    body = b""
    while True:
        event = connection.next_event()
        if isinstance(event, (h11.Request, h11.Response)):
            if head is not None:
                raise ValueError("two heads")
            head = event
        elif isinstance(event, h11.InformationalResponse):
            return event, b"", connection.trailing_data[0]
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return head, body, connection.trailing_data[0]
        else:
            raise ValueError(f"unexpected {event!r}")


def difference(row):
    try:
        head, body, rest = events_of(row)
    except (h11.ProtocolError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    if row["kind"] == "request":
        if head.method.decode("latin-1") != row["method"]:
            return "method"
        if head.target.decode("latin-1") != row["target"]:
            return "target"
        hosts = [value for name, value in head.headers if name == b"host"]
        if hosts != [row["host"].encode("latin-1")]:
            return "host"
    elif head.status_code != row["status"]:
        return "status"
    # Every field of ours is one of h11's, in the same order.
    theirs = iter([(name, value) for name, value in head.headers])
    for name, value in row["fields"]:
        wanted = (name.lower().encode("latin-1"), value.encode("latin-1"))
        if not any(pair == wanted for pair in theirs):
            return f"field {name}"
    if body != row["body"].encode("latin-1"):
        return "body"
    if rest != row["bytes"].encode("latin-1")[row["size"] :]:
        return "message end"
    return None


def main():
    total = failed = 0
    for line in sys.stdin:
        row = json.loads(line)
        total += 1
        why = difference(row)
        if why is not None:
            failed += 1
            if failed <= 10:
                print(f"{why}: {line.rstrip()}")
    print(f"h11 {h11.__version__}: {total} messages, {failed} read differently")
    return 0 if failed == 0 and total > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
