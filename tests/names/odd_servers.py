#!/usr/bin/env python3
"""The servers of world.py that are no good: some refuse or fail, some do not
know EDNS and pass on what has none to unbound, one never answers."""

import socket
import threading

import world

REFUSED, SERVFAIL, NOTIMP, FORMERR = 5, 2, 4, 1


def failing(code):
    return lambda question, kind: with_code(question, code)


def without_edns(code):
    """Old servers do not understand a question with a record of EDNS.  Some of
    them give no question back."""
    def answer(question, kind):
        if question[10:12] != b"\0\0":
            return (header if code == NOTIMP else with_code)(question, code)
        return (ask_udp if kind == socket.SOCK_DGRAM else ask_tcp)(question)
    return answer


def header(question, code):
    return question[:2] + bytes([0x80 | question[2] & 0x79, 0x80 | code]) + bytes(8)


def with_code(question, code):
    end = question.index(b"\0", 12) + 5
    return header(question, code)[:4] + b"\0\1" + bytes(6) + question[12:end]


def ask_udp(question):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect((world.UNBOUND, 53))
        s.send(question)
        return s.recv(65535)


def ask_tcp(question):
    with socket.create_connection((world.UNBOUND, 53), 10) as s:
        s.sendall(len(question).to_bytes(2, "big") + question)
        return read_message(s)


def read_message(s):
    def read(n):
        got = b""
        while len(got) < n:
            more = s.recv(n - len(got))
            if not more:
                raise ConnectionError
            got += more
        return got
    return read(int.from_bytes(read(2), "big"))


def serve_udp(address, answer):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 53))

    def one(question, peer):
        try:
            s.sendto(answer(question, socket.SOCK_DGRAM), peer)
        except OSError:
            pass
    while True:
        question, peer = s.recvfrom(65535)
        if answer is not None:
            threading.Thread(target=one, args=(question, peer),
                             daemon=True).start()


def serve_tcp(address, answer):
    listener = socket.create_server((address, 53), backlog=200)

    def one(s):
        with s:
            try:
                while True:
                    reply = answer(read_message(s), socket.SOCK_STREAM)
                    s.sendall(len(reply).to_bytes(2, "big") + reply)
            except OSError:
                pass
    while True:
        s, _ = listener.accept()
        if answer is not None:
            threading.Thread(target=one, args=(s,), daemon=True).start()


SERVERS = {
    world.SILENT: None,
    world.REFUSES: failing(REFUSED),
    world.FAILS: failing(SERVFAIL),
    world.FORMERR: without_edns(FORMERR),
    world.NOTIMP: without_edns(NOTIMP),
}


def main():
    threads = [threading.Thread(target=serve, args=server)
               for server in SERVERS.items() for serve in (serve_udp, serve_tcp)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


if __name__ == "__main__":
    main()
