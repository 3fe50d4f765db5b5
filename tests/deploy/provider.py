"""A provider of chat completions for `live`, on a free port of loopback. A moody one does what the question says:
`fail` (500, or a reset), `throttle` (429), `slow` (an answer after 0.6 s); a good one answers everything."""

import http.server
import itertools
import json
import threading
import time

USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}


def completion(**more):
    return {"id": "c", "object": "chat.completion", "model": "m", **more}


class Provider:
    def __init__(self, moody):
        self.moody, self.number = moody, itertools.count()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.send(self, 200, json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]}))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.answer(self, body["messages"][0]["content"], body.get("stream"))

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # a proxy that leaves is no news
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, to, question, stream):
        if self.moody and question == "fail":
            if next(self.number) % 2:
                to.close_connection = True
                return None
            return self.send(to, 500, json.dumps({"error": {"message": "no luck"}}))
        if self.moody and question == "throttle":
            return self.send(to, 429, json.dumps({"error": {"message": "too fast"}}), [("retry-after", "2")])
        if question == "slow":
            time.sleep(0.6 if self.moody else 0.2)
        if stream:
            events = [completion(choices=[{"index": 0, "delta": {"content": "word "}}]) for _ in range(3)]
            events.append(completion(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], usage=USAGE))
            text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
            return self.send(to, 200, text, kind="text/event-stream")
        message = {"index": 0, "message": {"role": "assistant", "content": "words"}, "finish_reason": "stop"}
        # Every other answer does not say what it took, so that it is estimated.
        usage = {"usage": USAGE} if next(self.number) % 2 else {}
        return self.send(to, 200, json.dumps(completion(choices=[message], **usage)))

    @staticmethod
    def send(to, status, text, fields=(), kind="application/json"):
        to.send_response(status)
        for name, value in [("content-type", kind), ("content-length", str(len(text))), *fields]:
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(text.encode())
